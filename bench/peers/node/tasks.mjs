// What the peers share: the webhooks' addresses, and how many connections each may use.
export const CONNECTIONS = 100;
export const POOL = 10;

export function webhook(origin, number) {
  return `${origin}/api/v10/webhooks/${10n ** 17n + BigInt(number)}/${"x".repeat(68)}?wait=true`;
}

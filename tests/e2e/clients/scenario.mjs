// What every client does, and the operations for it. The test gives the rest by the environment.

export const { SERVICE_URL, API_KEY, WEBHOOK_URL, WRONG_KEY } = process.env;
export const SOCKET_URL = SERVICE_URL.replace(/^http/, "ws");

const CREATE = `
  mutation Create($input: CreateTaskInput!) { createTask(input: $input) { id name status } }`;
const LIST = `
  query List { tasks { data { id name } meta { total } } }`;
const FEED = `
  query Feed($after: String, $taskId: UUID) {
    logFeed(after: $after, taskId: $taskId) { entries { id status } cursor hasMore }
  }`;
const LIVE = `
  subscription Live($taskId: UUID) { taskLogs(taskId: $taskId) { id status task { name } } }`;

const POLLS = 50;
const PAUSE_MS = 200;

function input(name, schedule) {
  return { name, schedule, webhookUrl: WEBHOOK_URL, payload: { content: name } };
}

// Poll the feed until the task has an entry.
async function poll(run, taskId) {
  let after = null;
  for (let polls = 0; polls < POLLS; polls += 1) {
    const { logFeed } = (await run(FEED, { after, taskId })).data;
    if (logFeed.entries.length > 0) return logFeed.entries[0];
    after = logFeed.cursor;
    if (!logFeed.hasMore) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  throw new Error("nothing came");
}

// `run` gives {data, errors} for an operation; `follow` gives the first data of a subscription;
// `refused` is how a wrong key shows.
export async function play(name, { run, follow, refused }) {
  const { createTask: task } = (await run(CREATE, { input: input(name, "*/3 * * * * *") })).data;
  const seen = {
    created: task,
    listed: (await run(LIST)).data.tasks,
    error: (await run(CREATE, { input: input(`${name} again`, "nonsense") })).errors[0].extensions,
    refused: await refused(LIST),
    polled: await poll(run, task.id),
    followed: (await follow(LIVE, { taskId: task.id })).taskLogs,
  };
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}

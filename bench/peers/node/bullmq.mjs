// BullMQ on Redis: one job per task, delayed to the tick; a worker posts, and logs with pg.
// `node bullmq.mjs ORIGIN TASKS TICK REDIS_PORT`: it prints "ready" once all are added.
import { Queue, Worker } from "bullmq";
import http from "node:http";
import { randomUUID } from "node:crypto";
import axios from "axios";
import pg from "pg";
import { webhook, POOL, CONNECTIONS } from "./tasks.mjs";

const [origin, tasks, tick, redisPort] = process.argv.slice(2);
const due = new Date(Number(tick) * 1000);
const pool = new pg.Pool({ max: POOL });
const client = axios.create({
  httpAgent: new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS }),
});
const connection = { host: "127.0.0.1", port: Number(redisPort), maxRetriesPerRequest: null };
const INSERT = `insert into runs (id, task_id, scheduled_for, started_at, finished_at, status,
  http_status, duration_ms, message_id) values ($1, $2, $3, $4, $5, 'SUCCESS', $6, $7, $8)`;

async function send(job) {
  const { number } = job.data;
  const startedAt = new Date();
  const answer = await client.post(webhook(origin, number), { content: "hello" });
  const finishedAt = new Date();
  await pool.query(INSERT, [
    randomUUID(), number, due, startedAt, finishedAt, answer.status, finishedAt - startedAt,
    answer.data.id,
  ]);
}

const queue = new Queue("runs", { connection });
const options = { removeOnComplete: true, attempts: 3 };
for (let start = 0; start < Number(tasks); start += 500) {
  const numbers = Array.from({ length: Math.min(500, tasks - start) }, (_, n) => start + n);
  await queue.addBulk(
    numbers.map((number) => ({
      name: "send",
      data: { number },
      opts: { ...options, jobId: `task-${number}`, delay: Math.max(due - Date.now(), 0) },
    })),
  );
}
await pool.query("select 1");
const worker = new Worker("runs", send, { connection, concurrency: CONNECTIONS });
worker.on("error", (error) => console.error(error.message));
await worker.waitUntilReady();
console.log("ready");

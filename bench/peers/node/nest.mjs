// The usual build: NestJS with @nestjs/schedule, one CronJob per task, axios and Prisma.
// `node nest.mjs ORIGIN TASKS TICK`: it prints "ready" once every job is registered.
import "reflect-metadata";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ScheduleModule, SchedulerRegistry } from "@nestjs/schedule";
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "@prisma/client";
import axios from "axios";
import { CronJob } from "cron";
import http from "node:http";
import { webhook, POOL, CONNECTIONS } from "./tasks.mjs";

const [origin, tasks, tick] = process.argv.slice(2);
const due = new Date(Number(tick) * 1000);
const prisma = new PrismaClient({
  adapter: new PrismaPg({ max: POOL }),
});
const client = axios.create({
  httpAgent: new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS }),
});

async function send(number) {
  const startedAt = new Date();
  const answer = await client.post(webhook(origin, number), { content: "hello" });
  const finishedAt = new Date();
  await prisma.run.create({
    data: {
      taskId: number,
      scheduledFor: due,
      startedAt,
      finishedAt,
      status: "SUCCESS",
      httpStatus: answer.status,
      durationMs: finishedAt - startedAt,
      messageId: answer.data.id,
    },
  });
}

class AppModule {}
Module({ imports: [ScheduleModule.forRoot()] })(AppModule);

const app = await NestFactory.createApplicationContext(AppModule, { logger: ["error"] });
const registry = app.get(SchedulerRegistry);
const schedule = `${due.getUTCSeconds()} * * * * *`;
for (let number = 0; number < Number(tasks); number++) {
  const job = CronJob.from({
    cronTime: schedule,
    onTick: () => send(number),
    timeZone: "UTC",
    start: true,
  });
  registry.addCronJob(`task ${number}`, job);
}
await prisma.$queryRaw`select 1`;
console.log("ready");

// The list of tasks on Apollo Server's standalone server, with drizzle-orm on pg.
// `node apollo.mjs`: it prints its address. The database is that of the PG* variables.
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { desc, isNull } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import { integer, json, pgTable, text, timestamp, uuid } from "drizzle-orm/pg-core";
import { GraphQLScalarType } from "graphql";
import pg from "pg";
import { POOL } from "./tasks.mjs";

const tasks = pgTable("tasks", {
  id: uuid("id").primaryKey(),
  name: text("name").notNull(),
  schedule: text("schedule").notNull(),
  timezone: text("timezone").notNull(),
  webhookUrl: text("webhook_url_masked").notNull(),
  payload: json("payload").notNull(),
  maxRetry: integer("max_retry").notNull(),
  status: text("status").notNull(),
  createdAt: timestamp("created_at", { withTimezone: true }).notNull(),
  updatedAt: timestamp("updated_at", { withTimezone: true }).notNull(),
  deletedAt: timestamp("deleted_at", { withTimezone: true }),
});
const { deletedAt, ...columns } = tasks;
const database = drizzle(new pg.Pool({ max: POOL }));

const typeDefs = `#graphql
  scalar JSON
  scalar DateTime
  scalar UUID
  enum TaskStatus { ACTIVE INACTIVE FAILED }
  type Task {
    id: UUID!
    name: String!
    schedule: String!
    timezone: String!
    webhookUrl: String!
    payload: JSON!
    maxRetry: Int!
    status: TaskStatus!
    createdAt: DateTime!
    updatedAt: DateTime!
  }
  type TaskPage { data: [Task!]! }
  type Query { tasks(limit: Int = 50): TaskPage! }
`;

const resolvers = {
  JSON: new GraphQLScalarType({ name: "JSON" }),
  UUID: new GraphQLScalarType({ name: "UUID" }),
  DateTime: new GraphQLScalarType({ name: "DateTime", serialize: (at) => at.toISOString() }),
  Query: {
    tasks: async (_, { limit }) => ({
      data: await database
        .select(columns)
        .from(tasks)
        .where(isNull(deletedAt))
        .orderBy(desc(tasks.createdAt), desc(tasks.id))
        .limit(limit),
    }),
  },
};

const server = new ApolloServer({ typeDefs, resolvers });
const { url } = await startStandaloneServer(server, { listen: { host: "127.0.0.1", port: 0 } });
console.log(url.replace(/\/$/, ""));

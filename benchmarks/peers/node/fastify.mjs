// Fastify, BullMQ, Redis and sharp. A request is validated by a JSON schema and stored as a job in Redis; a worker
// renders a picture, writes it to a file, and the request is answered with its address.
//
//   node fastify.mjs both|api|worker|cluster
//
// PORT, REDIS_PORT and PICTURES (a folder) say where; WORKERS is the number of processes of "cluster", each of which
// is both; CONCURRENCY is the number of jobs that a worker process has under way.
import cluster from "node:cluster";
import { randomInt, randomUUID } from "node:crypto";
import { join } from "node:path";
import { Queue, QueueEvents, Worker } from "bullmq";
import Fastify from "fastify";
import sharp from "sharp";

const QUEUE = "pictures";
const CHANNELS = 3;
const ANSWER_MS = 60_000;
const { PORT, REDIS_PORT, PICTURES, WORKERS = "2", CONCURRENCY = "16" } = process.env;
const connection = { host: "127.0.0.1", port: Number(REDIS_PORT), maxRetriesPerRequest: null };

const body = {
  type: "object",
  required: ["$type", "model", "params"],
  properties: {
    $type: { const: "textToImage" },
    model: { type: "string", pattern: "^urn:air:", maxLength: 500 },
    params: {
      type: "object",
      required: ["prompt"],
      properties: {
        prompt: { type: "string", minLength: 1, maxLength: 10_000 },
        width: { type: "integer", minimum: 64, maximum: 4096, multipleOf: 8, default: 512 },
        height: { type: "integer", minimum: 64, maximum: 4096, multipleOf: 8, default: 512 },
        steps: { type: "integer", minimum: 1, maximum: 150, default: 20 },
        seed: { type: "integer", minimum: 0, maximum: 2 ** 32 - 1 },
      },
    },
  },
};
const picture = {
  type: "object",
  properties: { available: { type: "boolean" }, blobUrl: { type: "string" }, seed: { type: "integer" } },
};
const job = {
  type: "object",
  properties: { jobId: { type: "string" }, scheduled: { type: "boolean" }, result: picture },
};
const answer = {
  type: "object",
  properties: { token: { type: "string" }, jobs: { type: "array", items: job } },
};

/** A gradient with the seed's noise. */
function paint({ width, height, seed }) {
  const pixels = Buffer.allocUnsafe(width * height * CHANNELS);
  let noise = seed | 1;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      noise = (Math.imul(noise, 1664525) + 1013904223) | 0;
      const grain = (noise >>> 16) & 7;
      pixels[at++] = ((x * 240) / width + grain) | 0;
      pixels[at++] = ((y * 240) / height + grain) | 0;
      pixels[at++] = 96 + grain;
    }
  }
  return pixels;
}

async function render({ id, data }) {
  const raw = { width: data.width, height: data.height, channels: CHANNELS };
  await sharp(paint(data), { raw }).png().toFile(join(PICTURES, `${id}.png`));
  return { blobUrl: `/blobs/${id}.png` };
}

function startWorker() {
  // Libvips' own threads only pay for large pictures.
  sharp.concurrency(1);
  sharp.cache(false);
  return new Worker(QUEUE, render, { connection, concurrency: Number(CONCURRENCY) }).waitUntilReady();
}

async function startApi() {
  const queue = new Queue(QUEUE, { connection });
  const events = new QueueEvents(QUEUE, { connection });
  await events.waitUntilReady();
  const app = Fastify();
  app.post("/v1/consumer/jobs", { schema: { body, response: { 200: answer } } }, async (request) => {
    const { model, params } = request.body;
    const seed = params.seed ?? randomInt(2 ** 32);
    const options = { jobId: randomUUID(), attempts: 5, removeOnComplete: false, removeOnFail: false };
    const added = await queue.add("textToImage", { ...params, model, seed }, options);
    const { blobUrl } = await added.waitUntilFinished(events, ANSWER_MS);
    const result = { available: true, blobUrl, seed };
    return { token: added.id, jobs: [{ jobId: added.id, scheduled: false, result }] };
  });
  await app.listen({ port: Number(PORT), host: "127.0.0.1" });
}

const role = process.argv[2];
if (role === "cluster" && cluster.isPrimary) {
  for (let number = 0; number < Number(WORKERS); number++) cluster.fork();
} else {
  if (role !== "api") await startWorker();
  if (role !== "worker") await startApi();
}

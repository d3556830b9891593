// Calls the client as the page of the documentation configures it, and prints what it got as JSON.
import { configure } from "./configuration.mjs";

const [server, what, key] = process.argv.slice(2);
const { fal, upload } = configure(server, key ?? "anything");
const DEV = "fal-ai/flux/dev";
const input = { prompt: "a lighthouse", image_size: { width: 64, height: 64 }, num_inference_steps: 4, seed: 7 };

async function failure(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return { name: error.name, status: error.status, message: error.message, body: error.body };
  }
}

const steps = {
  async subscribe() {
    const seen = [];
    const result = await fal.subscribe(DEV, { input, logs: true, onQueueUpdate: (update) => seen.push(update.status) });
    const streamed = await fal.subscribe(DEV, { input, mode: "streaming" });
    return { seen, result, streamed };
  },
  async queue() {
    const { request_id: requestId } = await fal.queue.submit(DEV, { input, priority: "low" });
    await fal.queue.subscribeToStatus(DEV, { requestId });
    const status = await fal.queue.status(DEV, { requestId, logs: true });
    const result = await fal.queue.result(DEV, { requestId });
    const cancelled = await failure(fal.queue.cancel(DEV, { requestId }));
    return { requestId, status, result, cancelled };
  },
  async run() {
    return fal.run(DEV, { input });
  },
  async unknown() {
    return failure(fal.run(DEV, { input }));
  },
  async stream() {
    const stream = await fal.stream("fal-ai/fast-sdxl", { input });
    let events = 0;
    for await (const _ of stream) events += 1;
    return { events, done: await stream.done() };
  },
  async upload() {
    const made = await fal.run(DEV, { input: { ...input, sync_mode: true } });
    const picture = await (await fetch(made.data.images[0].url)).blob();
    const url = await upload(picture);
    return fal.run(`${DEV}/image-to-image`, { input: { ...input, image_url: url } });
  },
  async refused() {
    return {
      input: await failure(fal.run(DEV, { input: { ...input, image_url: "" } })),
      app: await failure(fal.run("fal-ai/absent", { input })),
      storage: await failure(fal.storage.upload(new Blob(["x"]))),
    };
  },
};

console.log(JSON.stringify(await steps[what]()));
process.exit(0);

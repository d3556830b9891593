// A program with the published npm client, unmodified: `node client.js <server> <what>` prints JSON last.
const { Civitai, OpenAPI, Scheduler } = require("civitai");

const MODEL = "urn:air:sd1:checkpoint:civitai:4384@128713";
const INPUT = {
  model: MODEL,
  params: {
    prompt: "a lighthouse",
    negativePrompt: "fog",
    scheduler: Scheduler.EULER_A,
    steps: 4,
    cfgScale: 7,
    width: 64,
    height: 64,
    clipSkip: 2,
  },
};
const WORKFLOW = {
  1: { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: MODEL } },
  2: { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
  3: { class_type: "CLIPTextEncode", inputs: { clip: ["1", 1], text: "a lighthouse" } },
  4: {
    class_type: "KSampler",
    inputs: {
      model: ["1", 0], positive: ["3", 0], negative: ["3", 0], latent_image: ["2", 0],
      seed: 3, steps: 2, cfg: 7, sampler_name: "euler", scheduler: "normal", denoise: 1,
    },
  },
  5: { class_type: "VAEDecode", inputs: { samples: ["4", 0], vae: ["1", 2] } },
  6: { class_type: "SaveImage", inputs: { images: ["5", 0], filename_prefix: "x" } },
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function download(waited) {
  const answer = await fetch(waited.jobs[0].result.jobs[0].result.blobUrl);
  const bytes = await answer.arrayBuffer();
  return { status: answer.status, type: answer.headers.get("content-type"), size: bytes.byteLength };
}

const STEPS = {
  async fromText(civitai) {
    const started = Date.now();
    const answer = await civitai.image.fromText({ ...INPUT, priority: "High", quantity: 1 }, true);
    return { answer, tookMs: Date.now() - started, picture: await download(answer) };
  },
  async fromTextSlow(civitai) {
    const started = Date.now();
    const slow = { ...INPUT, properties: { simulate: { step_ms: 400 } } };
    const answer = await civitai.image.fromText(slow, true);
    return { answer, tookMs: Date.now() - started, picture: await download(answer) };
  },
  async fromComfy(civitai) {
    const started = Date.now();
    const answer = await civitai.image.fromComfy({ quantity: 1, params: { workflow: WORKFLOW } }, true);
    return { answer, tookMs: Date.now() - started, picture: await download(answer) };
  },
  async read(civitai) {
    const created = await civitai.image.fromText({ ...INPUT, properties: { userId: 9 } }, false);
    await pause(500);
    return {
      created,
      byId: await civitai.jobs.getById(created.jobs[0].jobId),
      byToken: await civitai.jobs.getByToken(created.token),
      byQuery: await civitai.jobs.getByQuery({ properties: { userId: 9 } }, true),
    };
  },
  async cancel(civitai) {
    const slow = { ...INPUT, properties: { simulate: { step_ms: 2000 } } };
    const created = await civitai.image.fromText(slow, false);
    const answer = await civitai.jobs.cancel(created.jobs[0].jobId);
    let read;
    do {
      await pause(50);
      read = await civitai.jobs.getById(created.jobs[0].jobId);
    } while (read.scheduled);
    return { created, answer, read };
  },
  async failed(civitai) {
    const started = Date.now();
    const faulty = { ...INPUT, properties: { simulate: { fault: "content" } } };
    const answer = await civitai.image.fromText(faulty, true);
    return { answer, tookMs: Date.now() - started };
  },
  async coverage(civitai) {
    return civitai.models.get([MODEL, "urn:air:sd1:checkpoint:civitai:1@2"]);
  },
  async refused(civitai) {
    try {
      await civitai.image.fromText({ ...INPUT, model: "urn:air:sd1:checkpoint:civitai:1@2" });
    } catch (error) {
      return { name: error.name, status: error.status, body: error.body };
    }
    return null;
  },
};

async function main() {
  const civitai = new Civitai({ auth: "any" });
  OpenAPI.BASE = process.argv[2];
  const result = await STEPS[process.argv[3]](civitai);
  process.stdout.write("\n" + JSON.stringify(result) + "\n");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

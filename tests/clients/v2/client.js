// A program with a published v2 client, unmodified: `node bundle.js <server> <what>` prints JSON.
// "sdk" is one of the two packages, chosen when it is bundled.
import * as sdk from "sdk";

const [server, what] = process.argv.slice(2);
const client = sdk.createCivitaiClient({ baseUrl: server, auth: "test" });
const MODEL = "urn:air:sd1:checkpoint:civitai:4384@128713";
const LORA = "urn:air:sd1:lora:civitai:82098@87153";
const INPUT = { model: MODEL, prompt: "a lighthouse", cfgScale: 7, seed: 3, steps: 4, width: 64, height: 64 };
// A PNG of one pixel.
const PIXEL = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);

const picture = (input = {}, step = {}) => ({ $type: "textToImage", input: { ...INPUT, ...input }, ...step });
const template = (...steps) => ({ currencies: [], tags: ["civitai"], steps });

// What a call tells its caller; a number is enough of a response.
async function told(call) {
  const { data, error, response } = await call;
  return { status: response?.status, data, error };
}

async function done(call) {
  const { status, data, error } = await told(call);
  if (error !== undefined) throw new Error(`${status} ${JSON.stringify(error)}`);
  return data;
}

const submit = (body, query = {}) => done(sdk.submitWorkflow({ client, body, query }));
const one = (workflowId) => ({ client, path: { workflowId } });

async function download(url) {
  const answer = await fetch(url);
  const size = (await answer.arrayBuffer()).byteLength;
  return { status: answer.status, type: answer.headers.get("content-type"), size };
}

const GRAPH = {
  1: { class_type: "CheckpointLoaderSimple", inputs: { ckpt_name: MODEL } },
  2: { class_type: "LoraLoader", inputs: { model: ["1", 0], clip: ["1", 1], lora_name: LORA, strength_model: 1, strength_clip: 1 } },
  3: { class_type: "CLIPTextEncode", inputs: { clip: ["2", 1], text: "a lighthouse" }, _meta: { title: "prompt" } },
  4: { class_type: "EmptyLatentImage", inputs: { width: 64, height: 64, batch_size: 1 } },
  5: {
    class_type: "KSampler",
    inputs: {
      model: ["2", 0], positive: ["3", 0], negative: ["3", 0], latent_image: ["4", 0],
      seed: 3, steps: 2, cfg: 7, sampler_name: "euler", scheduler: "normal", denoise: 1,
    },
  },
  6: { class_type: "VAEDecode", inputs: { samples: ["5", 0], vae: ["1", 2] } },
  7: { class_type: "SaveImage", inputs: { images: ["6", 0], filename_prefix: "x", format: "png" } },
};

// Half a second a step, as the simulator is asked to take.
const SLOW = { metadata: { simulate: { step_ms: 500 } } };

const PROGRAMS = {
  async picture() {
    const ended = await submit(template(picture({}, { metadata: { a: 1 } })), { wait: 60 });
    const read = await done(sdk.getWorkflow(one(ended.id)));
    return { ended, read, picture: await download(ended.steps[0].output.images[0].url) };
  },
  async waits() {
    const accepted = await told(sdk.submitWorkflow({ client, body: template(picture()) }));
    const ended = await told(sdk.getWorkflow({ ...one(accepted.data.id), query: { wait: 60 } }));
    return { accepted, ended };
  },
  async whatif() {
    const body = { ...template(picture()), externalId: "asked-before" };
    const priced = await submit(body, { whatif: true });
    return { priced, submitted: await submit(body, { wait: 60 }), again: await submit(body, { wait: 60 }) };
  },
  async changes() {
    const { id } = await submit({ ...template(picture()), metadata: { a: 1 } }, { wait: 60 });
    const path = { workflowId: id, stepName: "$0" };
    const calls = {
      addWorkflowTag: { body: "fav" },
      updateWorkflow: { body: { metadata: { b: 2 } } },
      patchWorkflow: { body: [{ op: "add", path: "/metadata/c", value: 3 }, { op: "add", path: "/tags/-", value: "x" }] },
      updateWorkflowStep: { path, body: { metadata: { d: 4 } } },
      patchWorkflowStep: { path, body: [{ op: "add", path: "/metadata/e", value: 5 }] },
    };
    const statuses = {};
    for (const [name, options] of Object.entries(calls)) {
      statuses[name] = (await told(sdk[name]({ ...one(id), ...options }))).status;
    }
    const changed = await done(sdk.getWorkflow(one(id)));
    const step = await done(sdk.getWorkflowStep({ client, path }));
    const found = await done(sdk.queryWorkflows({ client, query: { tags: ["civitai", "fav"], take: 5 } }));
    statuses.removeWorkflowTag = (await told(sdk.removeWorkflowTag({ client, path: { workflowId: id, tag: "fav" } }))).status;
    const untagged = await done(sdk.getWorkflow(one(id)));
    statuses.removeAllWorkflowTags = (await told(sdk.removeAllWorkflowTags(one(id)))).status;
    const bare = await done(sdk.getWorkflow(one(id)));
    statuses.deleteWorkflow = (await told(sdk.deleteWorkflow(one(id)))).status;
    const gone = await told(sdk.getWorkflow(one(id)));
    return { id, statuses, changed, step, found, untagged: untagged.tags, bare: bare.tags, gone };
  },
  async cancel() {
    const steps = [picture({}, SLOW), picture({ sourceImage: { $ref: "$0", path: "output.images[0].url" } })];
    const { id } = await submit(template(...steps));
    const canceled = await told(sdk.updateWorkflow({ ...one(id), body: { status: "canceled" } }));
    const ended = await done(sdk.getWorkflow({ ...one(id), query: { wait: 60 } }));
    const second = await submit(template(picture({}, SLOW)));
    const body = [{ op: "replace", path: "/status", value: "canceled" }];
    const patched = await told(sdk.patchWorkflow({ ...one(second.id), body }));
    return { canceled, ended, patched, second: await done(sdk.getWorkflow({ ...one(second.id), query: { wait: 60 } })) };
  },
  async blobs() {
    const { uploadUrl, expiresAt } = await done(sdk.getConsumerBlobUploadUrl({ client }));
    const sent = await fetch(uploadUrl, { method: "POST", body: PIXEL, headers: { "Content-Type": "image/png" } });
    const signed = { status: sent.status, blob: await sent.json() };
    // The declared body is none, so the bytes are passed as they are.
    const raw = { body: PIXEL, bodySerializer: null, headers: { "Content-Type": "image/png" } };
    const direct = await told(sdk.uploadConsumerBlob({ client, query: { public: false }, ...raw }));
    const ended = await submit(template(picture()), { wait: 60 });
    const ids = [signed.blob.id, ended.steps[0].output.images[0].id];
    const blobs = [];
    for (const blobId of ids) {
      const head = (await told(sdk.headBlob({ client, path: { blobId } }))).status;
      const { data, response } = await sdk.getBlob({ client, path: { blobId }, query: { filename: "a.png", download: true } });
      const encryptedToken = response.url.split("/").pop().split("?")[0];
      const content = (await sdk.getBlobContent({ client, path: { encryptedToken } })).response;
      const refreshed = await done(sdk.refreshBlob({ client, path: { blobId } }));
      blobs.push({
        blobId, head, size: data.size, disposition: response.headers.get("content-disposition"),
        content: content.status, refreshed, plain: await download(refreshed.url),
      });
    }
    const missing = await told(sdk.headBlob({ client, path: { blobId: "01JBST8000E00800000000007Z.png" } }));
    const source = { sourceImage: signed.blob.url, sourceImageDenoiseStrenght: 0.5 };
    const used = await submit(template(picture(source)), { wait: 60 });
    return { expiresAt, signed, direct, blobs, missing: missing.status, used };
  },
  async recipes() {
    const priced = await sdk.invokeTextToImageStepTemplate({ client, body: INPUT, query: { whatif: true } });
    const names = ["x-civitai-cost-total", "x-civitai-cost-by-currency", "x-civitai-insufficient-buzz"];
    const headers = Object.fromEntries(names.map((name) => [name, priced.response.headers.get(name)]));
    const output = await done(sdk.invokeTextToImageStepTemplate({ client, body: INPUT }));
    const comfy = await done(sdk.invokeComfyStepTemplate({ client, body: { comfyWorkflow: GRAPH } }));
    const gen = { engine: "comfy", ecosystem: "sd1", operation: "createImage", ...INPUT };
    const generated = await done(sdk.invokeImageGenStepTemplate({ client, body: { ...gen, width: 64, height: 64 } }));
    const none = await told(sdk.invokeTrainingStepTemplate({ client, body: {} }));
    return { headers, output, comfy, generated, none };
  },
  async tasks() {
    const echo = await done(sdk.invokeEchoStepTemplate({ client, body: { message: "hello" } }));
    const data = `data:image/png;base64,${PIXEL.toString("base64")}`;
    const uploaded = await done(sdk.invokeImageUploadStepTemplate({ client, body: data }));
    const conversion = { image: uploaded.blob.url, output: { format: "webp", quality: 80, hideMetadata: true } };
    const converted = await done(sdk.invokeConvertImageStepTemplate({ client, body: conversion }));
    return { echo, uploaded, converted };
  },
  async archive() {
    const steps = [picture({ quantity: 2 })];
    const { steps: [made] } = await submit(template(...steps), { wait: 60 });
    const entries = made.output.images.map(({ id }, number) => ({ blobId: id, fileName: `${number}.png` }));
    const archive = await done(sdk.invokeBlobArchiveStepTemplate({ client, body: { entries, archiveName: "all.zip" } }));
    const encryptedToken = archive.url.split("/").pop().split("?")[0];
    const read = await sdk.getBlobArchive({ client, path: { encryptedToken }, parseAs: "arrayBuffer" });
    const start = Buffer.from(read.data).subarray(0, 4).toString("hex");
    return { archive, start, type: read.response.headers.get("content-type"), plain: await download(archive.url) };
  },
  // Every recipe that the package knows, without an input.
  async everyRecipe() {
    const names = Object.keys(sdk).filter((name) => /^invoke\w+StepTemplate$/.test(name));
    const found = {};
    for (const name of names) {
      const { status, error } = await told(sdk[name]({ client, body: {} }));
      found[name] = { status, detail: error?.detail };
    }
    return found;
  },
  async resources() {
    const known = await done(sdk.getResource({ client, path: { air: MODEL } }));
    const unknown = await told(sdk.getResource({ client, path: { air: "urn:air:sd1:checkpoint:civitai:1@1" } }));
    const queue = sdk.queryResources && (await done(sdk.queryResources({ client, query: { view: "queue" } })));
    return { known, unknown, queue: queue ?? null };
  },
  async refused() {
    const { error, response } = await sdk.submitWorkflow({ client, body: template(picture({ width: 1 })) });
    return { status: response.status, error, sentence: sdk.handleError(error) };
  },
  async failed() {
    const metadata = { simulate: { fault: "content" } };
    const body = { ...template(picture(), picture({ sourceImage: { $ref: "$0", path: "output.images[0].url" } })), metadata };
    return submit(body, { wait: 60 });
  },
  // The three kinds of workflow that civitai.com itself sends
  async preprocessed() {
    const source = { image: `data:image/png;base64,${PIXEL.toString("base64")}` };
    const controls = [{ preprocessor: "canny", weight: 1, startStep: 0, endStep: 1, image: { $ref: "$0", path: "output.blob.url" } }];
    const steps = [
      { $type: "preprocessImage", name: "$0", input: { kind: "canny", resolution: 64, ...source } },
      picture({ controlNets: controls }, { name: "$1" }),
    ];
    return submit(template(...steps), { wait: 60 });
  },
  async upscaled() {
    const steps = [
      picture({}, { name: "$0" }),
      { $type: "imageUpscaler", name: "$1", input: { image: { $ref: "$0", path: "output.images[0].url" } } },
    ];
    return submit(template(...steps), { wait: 60 });
  },
  async graph() {
    const input = { comfyWorkflow: GRAPH, quantity: 2, useSpineComfy: null };
    return submit(template({ $type: "comfy", name: "$0", input, metadata: { params: { nsfw: false } } }), { wait: 60 });
  },
};

console.log(JSON.stringify(await PROGRAMS[what]()));

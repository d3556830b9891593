// Submit a job in Civitai's v1 format, wait for it, save the pictures. Plain fetch, Node 20 or newer.
//
//     node submit.mjs [body.json]
import { readFile, writeFile } from "node:fs/promises";

const url = (process.env.IMAGEMILL_URL ?? "http://127.0.0.1:8700").replace(/\/$/, "");
const headers = {
  Authorization: `Bearer ${process.env.IMAGEMILL_TOKEN ?? "local"}`,
  "Content-Type": "application/json",
};

async function call(method, path, body) {
  let response;
  try {
    response = await fetch(url + path, { method, headers, body });
  } catch (error) {
    throw new Error(`no server answers at ${url}; start one with \`imagemill serve\``, { cause: error });
  }
  const answer = await response.json();
  // application/problem+json: `detail` is a sentence, `errors` names the fields.
  if (!response.ok) throw new Error(`${response.status}: ${answer.detail}`);
  return answer;
}

try {
  const file = process.argv[2] ?? new URL("../bodies/text-to-image.json", import.meta.url);
  // wait=true holds the answer until the jobs are done, or for about 95 seconds.
  let answer = await call("POST", "/v1/consumer/jobs?wait=true", await readFile(file, "utf8"));
  while (answer.jobs.some((job) => job.scheduled)) {
    answer = await call("GET", `/v1/consumer/jobs?wait=true&token=${encodeURIComponent(answer.token)}`);
  }
  for (const [index, job] of answer.jobs.entries()) {
    if (!job.result.blobUrl) {
      console.error(`job ${job.jobId}: ${job.lastEvent.type}, ${job.lastEvent.context.error_message ?? ""}`);
      process.exitCode = 1;
      continue;
    }
    // The URL is signed: no token is needed, and none should be sent along.
    const picture = await fetch(job.result.blobUrl);
    if (!picture.ok) throw new Error(`the picture's URL answered ${picture.status}`);
    const name = `picture-${index + 1}.${picture.headers.get("content-type").split("/")[1]}`;
    const data = Buffer.from(await picture.arrayBuffer());
    await writeFile(name, data);
    console.log(`${name}: ${data.length} bytes, seed ${job.result.seed}`);
  }
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

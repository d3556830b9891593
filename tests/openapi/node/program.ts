// Submits a job, waits for it and prints its artifact, by the generated types alone: node program.js ADDRESS
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

declare const process: { argv: string[] };

const baseUrl = process.argv[2];
const client = createClient<paths>({ baseUrl, headers: { Authorization: "Bearer test" } });

const submitted = await client.POST("/api/v1/jobs", {
  body: {
    recipe: "textToImage",
    input: {
      model: "urn:air:sd1:checkpoint:civitai:4384@128713",
      prompt: "a lighthouse",
      width: 64,
      height: 64,
      steps: 4,
    },
  },
});
if (submitted.error !== undefined) {
  throw new Error(submitted.error.detail);
}
if (!("id" in submitted.data)) {
  throw new Error("the answer is an estimate, which was not asked for");
}
let job: components["schemas"]["JobBody"] = submitted.data;
while (job.finishedAt === null) {
  await new Promise((resume) => setTimeout(resume, 50));
  const read = await client.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: job.id } } });
  if (read.error !== undefined) {
    throw new Error(read.error.detail);
  }
  job = read.data;
}
const [artifact] = job.artifacts;
if (artifact?.url == null) {
  throw new Error(`the job has no picture: ${job.status}`);
}
const picture = await fetch(artifact.url);
console.log(JSON.stringify({ id: job.id, status: job.status, type: picture.headers.get("content-type") }));

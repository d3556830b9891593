/** The same first picture by each protocol that the server speaks. */
const MODEL = "urn:air:sd1:checkpoint:civitai:4384@128713";

export interface Snippet {
  key: string;
  label: string;
  text: (base: string) => string;
}

export const SNIPPETS: Snippet[] = [
  {
    key: "curl",
    label: "curl",
    text: (base) => `curl -s '${base}/api/v1/jobs?wait=true' \\
  -H "Authorization: Bearer $IMAGEMILL_TOKEN" -H 'Content-Type: application/json' \\
  -d '{"recipe": "textToImage", "input": {"prompt": "a lighthouse at dusk"}}'`,
  },
  {
    key: "civitai",
    label: "civitai",
    text: (base) => `const { Civitai, OpenAPI, Scheduler } = require("civitai");
const client = new Civitai({ auth: process.env.IMAGEMILL_TOKEN });
OpenAPI.BASE = "${base}"; // after the constructor, which sets it too

const model = "${MODEL}";
const params = { prompt: "a lighthouse at dusk", scheduler: Scheduler.EULER_A, steps: 20, cfgScale: 7, width: 512, height: 512 };
client.image.fromText({ model, params }).then((answer) => console.log(answer.token));`,
  },
  {
    key: "orchestration",
    label: "@civitai/orchestration-client",
    text: (base) => `import { createCivitaiClient, submitWorkflow } from "@civitai/orchestration-client";

const client = createCivitaiClient({ baseUrl: "${base}", auth: process.env.IMAGEMILL_TOKEN });
const input = { model: "${MODEL}", prompt: "a lighthouse at dusk", steps: 20, cfgScale: 7, seed: 42, width: 512, height: 512 };
const { data } = await submitWorkflow({
  client,
  query: { wait: 60 },
  body: { currencies: [], steps: [{ $type: "textToImage", input }] },
});
console.log(data);`,
  },
  {
    key: "fal",
    label: "fal",
    text: (base) => `curl -s ${base}/fal-run/fal-ai/flux/schnell \\
  -H "Authorization: Key $IMAGEMILL_TOKEN" -H 'Content-Type: application/json' \\
  -d '{"prompt": "a lighthouse at dusk"}'

# The Python client needs HTTPS: FAL_QUEUE_RUN_HOST=HOST/fal FAL_RUN_HOST=HOST/fal-run`,
  },
];

/** A workflow of GitHub Actions that tests an application against a simulated server. */
export const CI = `name: tests
on: [push, pull_request]
jobs:
  tests:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v5
      - uses: actions/setup-python@v6
        with: { python-version: "3.12" }
      - run: pip install imagemill
      - run: |
          imagemill serve --profile ci --port 8700 --ready-file ready.json > imagemill.log 2>&1 &
          timeout 60 sh -c 'until [ -f ready.json ]; do sleep 0.2; done'
      - run: npm ci && npm test
        env: { CIVITAI_BASE_URL: "http://127.0.0.1:8700" }`;

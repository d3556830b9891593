// Logs in on the documentation page, presses "Try it out" and "Execute" on operations, and prints the answers as JSON.
//
// node browser.js ADDRESS CHROMIUM KEY SCREENSHOT STEPS, where the steps are a JSON array of
// {"method", "path", "fill": {parameter: value}, "file": a path}; fill and file may be absent.
import { chromium } from "playwright-core";

const [, , address, executablePath, key, screenshot, steps] = process.argv;
const ANSWER_MS = 200_000;

const browser = await chromium.launch({
  executablePath,
  // Root, as in a container, has no sandbox; the other options keep the browser from calling its maker.
  args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(ANSWER_MS);
const errors = [];
page.on("pageerror", (error) => errors.push(String(error)));
const wanted = JSON.parse(steps);
const whole = await (await page.request.get(`${address}/openapi.json`)).json();
const { paths } = whole;
await page.goto(`${address}/docs`);
await page.locator(".opblock-tag").first().waitFor();
const tags = Object.values(paths).flatMap((item) => Object.values(item).flatMap((operation) => operation.tags));
const drawn = await page.locator(".opblock").count();
if (drawn !== tags.length) errors.push(`the page has ${drawn} operations, and the document ${tags.length}`);
// The page draws all operations again at every change, which takes seconds: they are tried on one that has these alone.
const tried = {};
for (const { method, path } of wanted) (tried[path] ??= {})[method] = paths[path][method];
await page.route("**/openapi.json", (route) => route.fulfill({ json: { ...whole, paths: tried } }));
await page.reload();
await authorize();
const open = page.locator('.opblock-tag[data-is-open="true"]');
for (let left = await open.count(); left > 0; left = await open.count()) {
  await open.first().click();
}
const answers = [];
for (const step of wanted) {
  const operation = `${step.method} ${step.path}`;
  try {
    answers.push({ operation, ...(await execute(step)) });
  } catch (error) {
    answers.push({ operation, status: 0, shown: "", sent: "nothing", body: String(error) });
  }
}
await page.screenshot({ path: screenshot });
console.log(JSON.stringify({ answers, errors }));
await browser.close();

async function authorize() {
  await page.getByRole("button", { name: "Authorize" }).first().click();
  const dialog = page.locator(".dialog-ux");
  await dialog.locator("input").fill(key);
  await dialog.getByRole("button", { name: "Apply credentials" }).click();
  await dialog.getByRole("button", { name: "Close" }).last().click();
}

async function execute({ method, path, fill = {}, file }) {
  const section = page.locator(`.opblock-tag[data-tag="${paths[path][method].tags[0]}"]`);
  await section.click();
  const operation = page
    .locator(`.opblock-${method}`)
    .filter({ has: page.locator(`.opblock-summary-path[data-path="${path}"]`) });
  await operation.locator(".opblock-summary-control").click();
  await operation.getByRole("button", { name: "Try it out" }).click();
  for (const [name, value] of Object.entries(fill)) {
    await operation.locator(`tr[data-param-name="${name}"] input`).fill(value);
  }
  if (file) {
    await operation.locator("input[type=file]").setInputFiles(file);
  }
  const [answer] = await Promise.all([
    page.waitForResponse((each) => each.request().method() === method.toUpperCase(), { timeout: ANSWER_MS }),
    operation.getByRole("button", { name: "Execute" }).click(),
  ]);
  const shown = operation.locator(".live-responses-table .response-col_status").last();
  await shown.waitFor();
  const request = answer.request();
  const seen = {
    status: answer.status(),
    shown: (await shown.innerText()).trim(),
    sent: `${request.url()} ${request.postData() ?? ""}`,
    body: await operation.locator(".live-responses-table pre").first().innerText(),
  };
  await section.click();
  return seen;
}

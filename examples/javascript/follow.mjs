// Print a job's events as they happen, until its last one. Plain fetch, Node 20 or newer.
//
//     node follow.mjs JOB
const url = (process.env.IMAGEMILL_URL ?? "http://127.0.0.1:8700").replace(/\/$/, "");
const last = new Set(["Succeeded", "Failed", "Canceled", "Expired"]);

async function* events(job, after) {
  const response = await fetch(`${url}/api/v1/jobs/${encodeURIComponent(job)}/events`, {
    headers: { Authorization: `Bearer ${process.env.IMAGEMILL_TOKEN ?? "local"}`, "Last-Event-ID": `${after}` },
  });
  if (!response.ok) throw new Error(`${response.status}: ${(await response.json()).detail}`);
  let rest = "";
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      if (fields.data) yield { name: fields.event, id: fields.id, data: JSON.parse(fields.data) };
    }
  }
}

async function follow(job) {
  let after = 0;
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      for await (const { name, id, data } of events(job, after)) {
        after = id ?? after;
        console.log(name === "progress" ? `  step ${data.step} of ${data.total}` : `${data.at} ${name}`);
        if (last.has(name)) return name;
      }
    } catch (error) {
      if (/^\d{3}:/.test(error.message)) throw error;
      console.error(`connection lost; going on after event ${after}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error("the server stays away");
}

try {
  process.exitCode = (await follow(process.argv[2] ?? "")) === "Succeeded" ? 0 : 1;
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}

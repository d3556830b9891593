/** What can be done with chosen pictures. */
import { type Schema, api, data } from "~/api/http";
import { bytes, say } from "~/app/i18n";
import { ownerQuery } from "~/app/session";
import { toast, withUndo } from "~/app/toasts";
import type { Artifacts, Shown } from "./artifacts";
import { messages } from "./messages";

/** The most pictures of one ZIP file and of one contact sheet. */
export const MOST = 500;
const AT_ONCE = 4;

const query = () => ({ query: ownerQuery() });

/** Hand a file to the browser. */
export function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export async function downloadZip(items: Shown[]): Promise<void> {
  const ids = items.slice(0, MOST).map((item) => item.id);
  const file = await data(api.POST("/api/v1/artifacts/zip", { params: query(), body: { ids }, parseAs: "blob" }));
  save(file as unknown as Blob, `imagemill-${new Date().toISOString().slice(0, 10)}.zip`);
  toast({ text: say(messages, "zipped", { count: ids.length, size: bytes((file as unknown as Blob).size) }), tone: "good" });
}

export async function drawSheet(items: Shown[], title: string): Promise<Blob> {
  const body = { ids: items.slice(0, MOST).map((item) => item.id), title };
  return (await data(api.POST("/api/v1/artifacts/contact-sheet", { params: query(), body, parseAs: "blob" }))) as unknown as Blob;
}

/** Delete pictures after the undo window; they are gone from the screen at once. */
export function remove(list: Artifacts, items: Shown[]): void {
  const ids = new Set(items.map((item) => item.id));
  withUndo(
    say(messages, "deleted", { count: items.length }),
    () => removeAll(list, items),
    () => {
      list.change(ids, () => null);
      return () => list.restore(items);
    },
  );
}

async function removeAll(list: Artifacts, items: Shown[]): Promise<void> {
  const waiting = [...items];
  const kept: Shown[] = [];
  let reason = "";
  const work = async () => {
    for (let item = waiting.pop(); item; item = waiting.pop()) {
      try {
        await data(api.DELETE("/api/v1/artifacts/{artifact_id}", { params: { path: { artifact_id: item.id }, ...query() } }));
      } catch (error) {
        kept.push(item);
        reason = error instanceof Error ? error.message : String(error);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  if (!kept.length) return;
  list.restore(kept);
  toast({ text: `${say(messages, "kept", { count: kept.length })} ${reason}`, tone: "bad" });
}

/** Rate a picture; the screen shows it at once. */
export async function rate(list: Artifacts, item: Shown, rating: number): Promise<void> {
  const show = (value: number) => list.change(new Set([item.id]), (each) => ({ ...each, rating: value }));
  show(rating);
  try {
    await data(api.PATCH("/api/v1/artifacts/{artifact_id}", { params: { path: { artifact_id: item.id }, ...query() }, body: { rating } }));
  } catch (error) {
    show(item.rating);
    toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
  }
}

/** Submit the job of a picture again, as it was. */
export async function replay(item: Shown): Promise<Schema<"JobBody">> {
  return data(api.POST("/api/v1/jobs/{job_id}/replay", { params: { path: { job_id: item.job }, ...query() } }));
}

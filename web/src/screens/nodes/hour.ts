/** The counters of a node in the last hour. */
import { api, data } from "~/api/http";
import { ownerQuery } from "~/app/session";

export async function hourOf(node: string): Promise<{ finished: number; loads: number }> {
  const query = { series: ["finished", "model_loads"], node, ...ownerQuery() };
  const { items } = await data(api.GET("/api/v1/stats", { params: { query } }));
  const sum = (series: string) =>
    items.filter((each) => each.series === series).flatMap((each) => each.values).reduce<number>((total, value) => total + (value ?? 0), 0);
  return { finished: sum("finished"), loads: sum("model_loads") };
}

/** The cells of the library: their parameters, the filter of the address, and what they are read with. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "preact/hooks";
import { useFeed } from "~/api/feed";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useUrlState } from "~/app/state";
import { useProductOwner } from "~/parts/product-owner";

export type Cell = Schema<"HeldCell">;
export const PARAMETERS = ["gender", "ageRange", "bodyType", "pose", "style"] as const;
export type Parameter = (typeof PARAMETERS)[number];
export const VALUES = {
  gender: ["male", "female"],
  ageRange: ["20-30", "30-40", "40-50"],
  bodyType: ["slim", "average", "athletic", "plus-size"],
  pose: ["front standing", "side", "walking", "sitting"],
  style: ["professional", "casual", "editorial"],
} as const satisfies Record<Parameter, readonly string[]>;
const RECIPES = new Set(["fashionModel", "editModel"]);

/** Return all cells, which are read again when a job of the library begins or ends. */
export function useCells() {
  const { query, other } = useProductOwner();
  useFeed({ jobs: (news) => news.some((each) => RECIPES.has(each.recipe)) && refresh("library") });
  return useQuery({ queryKey: ["library", "grid", other], queryFn: ({ signal }) => data(api.GET("/api/v1/library/grid", { params: { query }, signal })) });
}

export type Filter = Record<Parameter, string>;

/** Return the chosen value of each parameter, empty for all, and the functions that choose. */
export function useFilter(): { filter: Filter; choose: Record<Parameter, (value: string) => void> } {
  const [gender, setGender] = useUrlState("gender");
  const [ageRange, setAge] = useUrlState("age");
  const [bodyType, setBody] = useUrlState("body");
  const [pose, setPose] = useUrlState("pose");
  const [style, setStyle] = useUrlState("style");
  const filter = useMemo(() => ({ gender, ageRange, bodyType, pose, style }), [gender, ageRange, bodyType, pose, style]);
  return { filter, choose: { gender: setGender, ageRange: setAge, bodyType: setBody, pose: setPose, style: setStyle } };
}

export function isChosen(cell: Cell, filter: Filter): boolean {
  return PARAMETERS.every((name) => !filter[name] || cell[name] === filter[name]);
}

/** Return the filter as the grid of a batch. */
export function gridOf(filter: Filter): Schema<"Grid"> {
  return Object.fromEntries(PARAMETERS.filter((name) => filter[name]).map((name) => [name, [filter[name]]]));
}

/** Return the filter as the command line has it. */
export function gridText(filter: Filter): string {
  const names = { gender: "gender", ageRange: "age_range", bodyType: "body_type", pose: "pose", style: "style" };
  const parts = PARAMETERS.filter((name) => filter[name]).map((name) => `${names[name]}=${filter[name]}`);
  return parts.length ? ` --grid '${parts.join(",")}'` : "";
}

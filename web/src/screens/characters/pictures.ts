/** What a character has: its sheet, its pictures by cell, and the jobs that make more. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { useFeed } from "~/api/feed";
import { Problem, type Schema, api, data } from "~/api/http";
import { isFinished, refresh } from "~/api/queries";
import { useProductOwner } from "~/parts/product-owner";

export type CharacterPicture = Schema<"CharacterPicture">;
export type Job = Schema<"JobBody">;
export type Sheet = Schema<"StoredCharacter">;
export type Kind = "avatar" | "sticker" | "cover" | "scene";
export const EMOTIONS = ["happy", "sad", "angry", "surprised", "neutral", "thinking", "shy", "waving"] as const;
export const FIELDS = ["name", "gender", "species", "style", "physical", "attire", "description"] as const;
export const EMPTY: Sheet = { name: "", gender: "", species: "", physical: "", attire: "", style: "", description: "", lora: [] };
const RECIPES = new Set(["avatar", "sticker", "cover", "scene"]);
const MOST_JOBS = 100;

/** A place of the board: the avatar, an emotion, the cover, or the scenes. */
export interface Cell {
  kind: Kind;
  /** Of a sticker. */
  emotion: string;
  /** Newest first. */
  pictures: CharacterPicture[];
  active: CharacterPicture | undefined;
  /** The newest job that is not over, or that failed after the newest picture. */
  job: Job | undefined;
}

export interface CharacterState {
  sheet: Sheet | null;
  cells: Cell[];
  scenes: CharacterPicture[];
  /** The newest job of a scene that is not over. */
  sceneJob: Job | undefined;
  progress: Map<string, number>;
  isPending: boolean;
  error: unknown;
  retry: () => void;
}

/** Read again what changes when a picture of a character begins or ends. */
export function useCharacterNews(): void {
  useFeed({ jobs: (news) => news.some((each) => RECIPES.has(each.recipe)) && refresh("characters") });
}

/** Return all of a character; `sheet` is null where none is stored yet. */
export function useCharacter(id: string): CharacterState {
  const { query, other } = useProductOwner();
  const path = { character_id: id };
  const [progress, setProgress] = useState<Map<string, number>>(new Map());
  useCharacterNews();
  useFeed({ progress: (news) => setProgress((was) => new Map([...was, ...news.map((each) => [each.id, each.progress] as const)].slice(-50))) });
  const sheet = useQuery({ queryKey: ["characters", id, "sheet", other], queryFn: ({ signal }) => ifKnown(data(api.GET("/api/v1/image-generation/characters/{character_id}", { params: { path, query }, signal }))) });
  const pictures = useQuery({ queryKey: ["characters", id, "pictures", other], queryFn: ({ signal }) => ifKnown(data(api.GET("/api/v1/image-generation/characters/{character_id}/images", { params: { path, query: { limit: 200, ...query } }, signal }))) });
  const jobs = useQuery({ queryKey: ["characters", id, "jobs", other], queryFn: ({ signal }) => data(api.GET("/api/v1/jobs", { params: { query: { character: id, limit: MOST_JOBS, ...query } }, signal })) });
  const items = pictures.data?.items ?? [];
  const made = jobs.data?.items ?? [];
  const emotions = [...EMOTIONS, ...new Set(items.map((each) => each.emotion ?? "").filter((name) => name && !(EMOTIONS as readonly string[]).includes(name)))];
  const cells = [cellOf("avatar", "", items, made), ...emotions.map((emotion) => cellOf("sticker", emotion, items, made)), cellOf("cover", "", items, made)];
  const queries = [sheet, pictures, jobs];
  return {
    sheet: sheet.data ? { ...EMPTY, ...sheet.data.character } : null,
    cells,
    scenes: items.filter((each) => each.type === "scene"),
    sceneJob: made.find((each) => each.recipe === "scene" && !isFinished(each.status)),
    progress,
    isPending: sheet.isPending || pictures.isPending,
    error: queries.find((each) => each.error)?.error ?? null,
    retry: () => queries.forEach((each) => void each.refetch()),
  };
}

function cellOf(kind: Kind, emotion: string, all: CharacterPicture[], jobs: Job[]): Cell {
  const pictures = all.filter((each) => each.type === kind && (each.emotion ?? "") === emotion);
  const own = jobs.filter((each) => each.recipe === kind && (kind !== "sticker" || each.input.emotion === emotion));
  const newest = own[0];
  const isNews = newest && (!isFinished(newest.status) || (newest.status === "failed" && !(pictures[0] && pictures[0].createdAt > newest.createdAt)));
  return { kind, emotion, pictures, active: pictures.find((each) => each.active), job: isNews ? newest : undefined };
}

/** Return null where the thing is not known, as of a character that is being written. */
async function ifKnown<Data>(answer: Promise<Data>): Promise<Data | null> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
}

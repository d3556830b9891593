/** The part of JSON schema that inputs of recipes and workflows use, and how a field is drawn. */

export interface JsonSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  maxLength?: number;
  pattern?: string;
  format?: string;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  $ref?: string;
  $defs?: Record<string, JsonSchema>;
  contentMediaType?: string;
}

export type FieldKind = "text" | "long-text" | "number" | "integer" | "choice" | "switch" | "picture" | "json";

export interface FormField {
  name: string;
  label: string;
  description: string;
  kind: FieldKind;
  schema: JsonSchema;
  isRequired: boolean;
  choices: unknown[];
}

const PICTURES = new Set(["image", "mask", "picture", "photo", "source"]);
const LONG = /prompt|text|description|story/i;
/** Fields that the server sets when it accepts a job. */
const SET_BY_SERVER = /set when the job is accepted/i;

/** Return a schema without references, and without the null of an optional value. */
export function plain(schema: JsonSchema, root: JsonSchema): JsonSchema {
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop() ?? "";
    return { ...plain(root.$defs?.[name] ?? {}, root), ...without(schema, "$ref") };
  }
  const parts = schema.allOf ?? schema.anyOf ?? schema.oneOf;
  if (!parts) return schema;
  const chosen = parts.map((part) => plain(part, root)).filter((part) => part.type !== "null");
  return chosen.length === 1 ? { ...chosen[0], ...without(schema, "allOf", "anyOf", "oneOf") } : { ...schema, type: undefined };
}

function without(schema: JsonSchema, ...names: (keyof JsonSchema)[]): JsonSchema {
  return Object.fromEntries(Object.entries(schema).filter(([name]) => !names.includes(name as keyof JsonSchema)));
}

/** Return the fields of a form in the order of the schema. */
export function fieldsOf(root: JsonSchema, hidden: readonly string[] = []): FormField[] {
  return Object.entries(root.properties ?? {})
    .filter(([name, schema]) => !hidden.includes(name) && !SET_BY_SERVER.test(schema.description ?? ""))
    .map(([name, given]) => {
      const schema = plain(given, root);
      return {
        name,
        label: labelOf(name, schema.title),
        description: schema.description ?? "",
        kind: kindOf(name, schema),
        schema,
        isRequired: root.required?.includes(name) ?? false,
        choices: choicesOf(schema),
      };
    });
}

function choicesOf(schema: JsonSchema): unknown[] {
  if (schema.enum) return schema.enum;
  const words = /^\^\(([\w.|-]+)\)\??\$$/.exec(schema.pattern ?? "");
  return words?.[1]?.split("|") ?? [];
}

function kindOf(name: string, schema: JsonSchema): FieldKind {
  if (choicesOf(schema).length) return "choice";
  switch (schema.type) {
    case "boolean":
      return "switch";
    case "integer":
      return "integer";
    case "number":
      return "number";
    case "string":
      if (isPicture(name, schema)) return "picture";
      return LONG.test(name) ? "long-text" : "text";
    default:
      return "json";
  }
}

function isPicture(name: string, schema: JsonSchema): boolean {
  if (schema.contentMediaType?.startsWith("image/") || schema.format === "picture") return true;
  return PICTURES.has(name.toLowerCase()) || /data URL or URL|a picture:/i.test(schema.description ?? "");
}

function labelOf(name: string, title?: string): string {
  if (title && title.toLowerCase().replaceAll(" ", "_") !== name.toLowerCase()) return title;
  const words = name.replaceAll("_", " ").replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return words.charAt(0).toUpperCase() + words.slice(1);
}

// Compiles only if every body in the document has a type: the compiler names those that have none.
import type { paths } from "./schema.js";

type Method = "get" | "put" | "post" | "patch" | "delete";

type Named<T> = { [Key in keyof T as string extends Key ? never : number extends Key ? never : Key]: T[Key] };

/** Whether a type, or a member of a union, is `any`, `unknown`, `never`, or an object or a list of nothing else. */
type IsUntyped<T> = 0 extends 1 & T
  ? true
  : unknown extends T
    ? true
    : [T] extends [never]
      ? true
      : T extends readonly (infer Item)[]
        ? IsUntyped<Item>
        : T extends object
          ? [keyof Named<T>] extends [never]
            ? string extends keyof T
              ? IsUntyped<T[string & keyof T]>
              : true
            : false
          : false;

type InContent<Content, Name extends string> = {
  [Type in keyof Content & string]: true extends IsUntyped<Content[Type]> ? `${Name} as ${Type}` : never;
}[keyof Content & string];

type InRequest<Operation, Name extends string> = Operation extends { requestBody?: infer Body }
  ? NonNullable<Body> extends { content: infer Content }
    ? InContent<Content, `the request of ${Name}`>
    : never
  : never;

type InResponses<Responses, Name extends string> = {
  [Status in keyof Responses & number]: Responses[Status] extends { content: infer Content }
    ? InContent<Content, `response ${Status} of ${Name}`>
    : Status extends 200 | 201 | 202
      ? `response ${Status} of ${Name} is missing`
      : never;
}[keyof Responses & number];

type InOperation<Operation, Name extends string> = Operation extends { responses: infer Responses }
  ? InRequest<Operation, Name> | InResponses<Responses, Name>
  : never;

type Untyped = {
  [Path in keyof paths & string]: {
    [Verb in Method & keyof paths[Path]]: InOperation<paths[Path][Verb], `${Verb} ${Path}`>;
  }[Method & keyof paths[Path]];
}[keyof paths & string];

// A template spells the names out in the compiler's message, which else shows the name of the type alone.
export const verdict: [Untyped] extends [never] ? "all is typed" : `without a type: ${Untyped}` = "all is typed";

/** The page to sign in, where the server has keys or users. */
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, api, data } from "~/api/http";
import { LANGUAGES, type Language, setLanguage, useLanguage, useMessages } from "~/app/i18n";
import { signedIn, useSession } from "~/app/session";
import { useDraft } from "~/app/state";
import { Button } from "~/parts/button";
import { Checkbox, Select, TextInput } from "~/parts/field";
import { Notice, ProblemNotice } from "~/parts/page";
import { messages } from "./messages";
import "./style.css";

type Way = "password" | "key";
const KEY_COMMAND = "imagemill keys create --owner ops --role admin";
const LINK_COMMAND = "imagemill sessions link";

export default function SignIn() {
  const t = useMessages(messages);
  const language = useLanguage();
  const { problem: ofLink } = useSession();
  // What is secret is never kept in the tab; only the way and the address are.
  const [draft, setDraft] = useDraft<{ way: Way; email: string }>("sign-in", { way: "key", email: "" });
  const [secret, setSecret] = useState("");
  const [isReadOnly, setReadOnly] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  useEffect(() => {
    document.title = `${t("title")} · Imagemill`;
  }, [t]);
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    const given = draft.way === "key" ? { key: secret } : { email: draft.email, password: secret };
    try {
      signedIn(await data(api.POST("/api/v1/session", { body: { ...given, readOnly: isReadOnly } })));
    } catch (error) {
      setProblem(error);
      setBusy(false);
      form.current?.querySelector<HTMLInputElement>("input[type=password]")?.focus();
    }
  };
  const choose = (way: Way) => {
    setDraft({ ...draft, way });
    setSecret("");
    setProblem(null);
  };
  const errors = problem instanceof Problem ? problem.errors : {};
  return (
    <main class="sign-in" id="content">
      <header class="sign-in-brand">
        <img src="/assets/icon.svg" alt="" width={40} height={40} />
        <h1>Imagemill</h1>
      </header>
      <form class="card sign-in-form" ref={form} onSubmit={(event) => void submit(event)}>
        <h2>{t("title")}</h2>
        <div class="sign-in-ways" role="radiogroup" aria-label={t("with")}>
          {(["key", "password"] as const).map((way) => (
            <label key={way} class={draft.way === way ? "sign-in-way sign-in-way-chosen" : "sign-in-way"}>
              <input type="radio" name="way" checked={draft.way === way} onChange={() => choose(way)} />
              {t(way)}
            </label>
          ))}
        </div>
        {ofLink !== null && problem === null && <ProblemNotice error={ofLink} />}
        {problem !== null && <ProblemNotice error={problem} />}
        {draft.way === "password" && (
          <TextInput label={t("email")} type="email" autocomplete="username" required value={draft.email} error={errors.email?.join("; ")} onInput={(email) => setDraft({ ...draft, email })} />
        )}
        {draft.way === "password" ? (
          <TextInput label={t("password")} type="password" autocomplete="current-password" required value={secret} error={errors.password?.join("; ")} onInput={setSecret} />
        ) : (
          <TextInput label={t("key")} type="password" autocomplete="off" required placeholder="im_…" value={secret} error={errors.key?.join("; ")} onInput={setSecret} />
        )}
        <Checkbox label={t("readOnly")} isChecked={isReadOnly} onChange={setReadOnly} />
        <Button type="submit" kind="primary" isBusy={isBusy}>{t("title")}</Button>
      </form>
      <Notice>
        <p>{t("noKey")}</p>
        <pre>{KEY_COMMAND}</pre>
        <p>{t("byLink")}</p>
        <pre>{LINK_COMMAND}</pre>
      </Notice>
      <div class="sign-in-language">
        <Select label={t("language")} value={language} onChange={(value) => setLanguage(value as Language)} options={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))} />
      </div>
    </main>
  );
}

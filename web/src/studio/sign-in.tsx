/** The sign-in of parents: the account they have on this server. */
import { useState } from "preact/hooks";
import { Problem } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { Button } from "~/parts/button";
import { TextInput } from "~/parts/field";
import { messages } from "./messages";
import { Trouble, useAsk, useTitle } from "./parts";
import { signIn } from "./session";

export function SignInForm() {
  const t = useMessages(messages);
  const [email, setEmail] = useDraft("studio.email", "");
  const [password, setPassword] = useState("");
  const { isBusy, problem, ask } = useAsk();
  useTitle(t("signInTitle"));
  const isWrong = problem instanceof Problem && (problem.status === 401 || problem.status === 400);
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    ask(() => signIn(email.trim(), password));
  };
  return (
    <form class="studio-card" onSubmit={onSubmit}>
      <h1>{t("signInTitle")}</h1>
      <p>{t("signInText")}</p>
      <TextInput label={t("email")} type="email" autocomplete="username" required value={email} onInput={setEmail} />
      <TextInput label={t("password")} type="password" autocomplete="current-password" required value={password} onInput={setPassword} error={isWrong ? t("signInWrong") : undefined} />
      {problem !== null && !isWrong && <Trouble error={problem} />}
      <Button kind="primary" type="submit" isBusy={isBusy}>{t("signIn")}</Button>
    </form>
  );
}

/** The application: the session, then the shell or the page to sign in. */
import { QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense } from "preact/compat";
import { useEffect, useState } from "preact/hooks";
import { queries, startLiveQueries } from "~/api/queries";
import { ProblemNotice } from "~/parts/page";
import { loadSession, useSession } from "./session";
import { Shell } from "./shell";

const SignIn = lazy(() => import("~/screens/sign-in"));

export function App() {
  const { me, isLoaded } = useSession();
  const [problem, setProblem] = useState<unknown>(null);
  const load = () => {
    setProblem(null);
    loadSession().catch(setProblem);
  };
  useEffect(load, []);
  useEffect(() => (me ? startLiveQueries() : undefined), [Boolean(me)]);
  if (problem) return <main class="page"><ProblemNotice error={problem} onRetry={load} /></main>;
  if (!isLoaded) return null;
  return (
    <QueryClientProvider client={queries}>
      {me ? <Shell /> : <Suspense fallback={null}><SignIn /></Suspense>}
    </QueryClientProvider>
  );
}

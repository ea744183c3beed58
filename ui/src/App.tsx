// Which page an address means. Who is not logged in sees the login; whose session runs out sees it above what he typed.
import { useQueryClient } from "@tanstack/react-query";
import { Suspense, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { Route, Routes } from "react-router";
import { onSessionOver, Problem } from "./api/client";
import { useMe } from "./data/session";
import { Empty, Loading, Trouble } from "./kit/asked";
import { Login } from "./shell/Login";
import { OwnPassword } from "./shell/OwnPassword";
import { Shell } from "./shell/Shell";
import { JobPage } from "./pages/Job";
import { Jobs } from "./pages/Jobs";
import { Access } from "./pages/Access";
import { Files } from "./pages/Files";
import { NodePage } from "./pages/Node";
import { Nodes } from "./pages/Nodes";
import { Overview } from "./pages/Overview";
import { RolloutPage } from "./pages/Rollout";
import { Rollouts } from "./pages/Rollouts";
import { Run } from "./pages/Run";

export function App() {
  const { t } = useTranslation();
  const me = useMe();
  const client = useQueryClient();
  const [over, setOver] = useState(false);
  // Whoever was never in has nothing to lose: he sees the login alone.
  useEffect(() => onSessionOver(() => client.getQueryData(["me"]) !== undefined && setOver(true)), [client]);
  useEffect(() => {
    if (me.isSuccess && !me.isError) setOver(false);
  }, [me.isSuccess, me.isError, me.dataUpdatedAt]);
  if (me.data === undefined) {
    if (me.error instanceof Problem && me.error.status === 401) {
      return (
        <main>
          <Login />
        </main>
      );
    }
    if (me.error) {
      return (
        <main className="login">
          <div className="panel">
            <Trouble error={me.error} again={() => void client.invalidateQueries({ queryKey: ["me"] })} />
          </div>
        </main>
      );
    }
    return null;
  }
  if (me.data.must_change) {
    return (
      <main>
        <OwnPassword />
      </main>
    );
  }
  return (
    <>
      <Suspense fallback={<Loading />}>
        <Routes>
          <Route element={<Shell />}>
            <Route path="/" element={<Overview />} />
            <Route path="/nodes" element={<Nodes />} />
            <Route path="/nodes/:node" element={<NodePage />} />
            <Route path="/run" element={<Run />} />
            <Route path="/jobs" element={<Jobs />} />
            <Route path="/jobs/:job" element={<JobPage />} />
            <Route path="/rollouts" element={<Rollouts />} />
            <Route path="/rollouts/:rollout" element={<RolloutPage />} />
            <Route path="/files" element={<Files />} />
            <Route path="/access" element={<Access />} />
            <Route path="/access/:part" element={<Access />} />
            <Route path="*" element={<Empty title={t("kit.no_page")} />} />
          </Route>
        </Routes>
      </Suspense>
      {over && (
        <dialog open className="over" aria-label={t("login.title")}>
          <Login />
        </dialog>
      )}
    </>
  );
}


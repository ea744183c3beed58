// Run something on the nodes a selector picks: who is hit stands there before anything runs, what happens appears below it.
import { useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/client";
import { useKinds } from "../data/kinds";
import { usePreview, useSubmit } from "../data/jobs";
import { useResolve } from "../data/nodes";
import { useMay } from "../data/session";
import { Confirm, THRESHOLD } from "../kit/Confirm";
import { useAddress } from "../kit/address";
import { Trouble } from "../kit/asked";
import { Copy } from "../kit/copy";
import { SchemaForm } from "../kit/SchemaForm";
import { SelectorField } from "../kit/selector";
import { JobLive } from "../live/JobLive";
import { sayable, submitLine } from "../text/cli";
import { BadField } from "../text/schema";
import { Again } from "./run/Again";
import { CommandField } from "./run/Command";
import { COMMANDS, NOTHING_TYPED, submission, type Typed } from "./run/form";
import { Hits } from "./run/Hits";
import { Limits } from "./run/Limits";

export function Run() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ target: "online", mode: "shell", command: "", job: "", again: "" });
  // What is typed is kept here too: the address follows a moment later, and what runs must be what stands in the fields.
  const [target, setTarget] = useState(address.target);
  const [command, setCommand] = useState(address.command);
  const [rest, setRest] = useState(NOTHING_TYPED);
  const [asking, setAsking] = useState(false);
  const [pressed, setPressed] = useState(false);
  const kinds = useKinds();
  const resolved = useResolve(address.target);
  const submit = useSubmit();
  const preview = usePreview();
  const typed: Typed = { ...rest, mode: address.mode, target, command };
  const kind = kinds.data?.find((one) => one.name === address.mode);
  const permission = kind?.permission ?? "exec.run";
  const allowed = useMay(permission);
  const made = useMemo(() => {
    try {
      return { body: submission(typed, kinds.data ?? []), bad: "" };
    } catch (error) {
      if (error instanceof BadField) return { body: null, bad: error.field };
      throw error;
    }
  }, [JSON.stringify(typed), kinds.data]);
  const sent = useRef({ target: address.target, command: address.command });
  useEffect(() => {
    // Only what somebody else wrote into the address (a link, Back) is taken over; our own comes back late.
    if (address.target !== sent.current.target) setTarget(address.target);
    if (address.command !== sent.current.command) setCommand(address.command);
    sent.current = { target: address.target, command: address.command };
  }, [address.target, address.command]);
  const settled = target.trim() === address.target.trim() && !resolved.isPlaceholderData;
  const hits = resolved.error || !settled ? 0 : (resolved.data?.nodes.length ?? 0);
  const ready = made.body !== null && hits > 0 && allowed && !submit.isPending;
  const go = () => {
    const body = made.body;
    if (body === null) return;
    submit.mutate(body, {
      onSuccess: (job) => {
        set({ job: job.job });
      },
      onSettled: () => setAsking(false),
    });
  };
  // Pressed before the server has said who is hit: it starts as soon as that is known.
  const start = () => setPressed(true);
  useEffect(() => {
    if (!pressed || !settled || resolved.isFetching) return;
    setPressed(false);
    if (!ready) return;
    if (hits > THRESHOLD) setAsking(true);
    else go();
  });
  const retarget = useCallback(
    (next: string) => {
      sent.current.target = next;
      set({ target: next });
    },
    [set],
  );
  // A command with no pause in its typing does not rewrite the address at every stroke.
  useEffect(() => {
    if (command === sent.current.command) return;
    const timer = setTimeout(() => {
      sent.current.command = command;
      set({ command });
    }, 400);
    return () => clearTimeout(timer);
  }, [command]);
  const fill = ({ target: wanted, command: line, mode, ...others }: Typed) => {
    setTarget(wanted);
    setCommand(line);
    setRest(others);
    sent.current = { target: wanted, command: line };
    set({ target: wanted, command: line, mode });
  };
  const change = (next: Partial<typeof NOTHING_TYPED>) => setRest((before) => ({ ...before, ...next }));
  const wrong = made.bad || (submit.error instanceof Problem ? submit.error.element : "");
  return (
    <>
      <div className="head">
        <h1>{t("run.title")}</h1>
      </div>
      {address.again !== "" && <Again job={address.again} kinds={kinds.data} onFill={fill} />}
      <form
        className="panel stack"
        onSubmit={(event) => {
          event.preventDefault();
          start();
        }}
        onKeyDown={(event) => {
          if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) {
            event.preventDefault();
            start();
          }
        }}
      >
        <div className="line">
          <span className="muted">{t("run.on")}</span>
          <div className="grow">
            <SelectorField value={address.target} onChange={retarget} onText={setTarget} error={settled ? resolved.error : null} label={t("run.target")} placeholder={t("nodes.selector_example")} />
            <Hits target={target} resolved={resolved.error || !settled ? undefined : resolved.data} error={settled ? resolved.error : null} />
          </div>
        </div>
        <div className="line">
          <span className="muted">{t("run.do")}</span>
          <div className="grow stack">
            <div className="row">
              <div className="segments" role="group" aria-label={t("run.what")}>
                {COMMANDS.map((mode) => (
                  <button key={mode} type="button" aria-pressed={address.mode === mode} onClick={() => set({ mode })}>
                    {t(`run.mode.${mode}`)}
                  </button>
                ))}
              </div>
              {(kinds.data?.some((one) => one.schema !== null) ?? false) && (
                <select aria-label={t("run.kind")} value={kind?.name ?? ""} onChange={(event) => set({ mode: event.target.value || "shell" })}>
                  <option value="">{t("run.other")}</option>
                  {kinds.data
                    ?.filter((one) => one.schema !== null)
                    .map((one) => (
                      <option key={one.name} value={one.name} disabled={!one.allowed}>
                        {`${one.name} · ${one.summary}`}
                      </option>
                    ))}
                </select>
              )}
            </div>
            {kind?.schema ? (
              <>
                {kind.engines.length > 0 && (
                  <label className="field">
                    {t("run.connection", { engines: kind.engines.join(", ") })}
                    <input className="mono" value={rest.connection} onChange={(event) => change({ connection: event.target.value })} autoComplete="off" />
                  </label>
                )}
                <SchemaForm schema={kind.schema} typed={rest.params} wrong={wrong} onType={(name, text) => change({ params: { ...rest.params, [name]: text } })} />
                <label className="row small">
                  <input type="checkbox" checked={rest.dryRun} onChange={(event) => change({ dryRun: event.target.checked })} />
                  {t("run.dry_run")}
                </label>
              </>
            ) : (
              <CommandField typed={typed} onCommand={setCommand} onChange={change} />
            )}
          </div>
        </div>
        <Limits typed={typed} onChange={change} />
        {submit.error !== null && <Trouble error={submit.error} />}
        {made.bad !== "" && <p className="note bad">{made.bad === "env" ? t("run.bad_env") : t("run.bad_json", { field: made.bad })}</p>}
        <div className="row">
          <button className="primary" disabled={!ready} title={allowed ? undefined : t("kit.needs", { permission })}>
            {hits > 0 ? t("run.go", { count: hits }) : t("run.go_none")} <kbd>{"⌘⏎"}</kbd>
          </button>
          <button type="button" disabled={made.body === null || preview.isPending} onClick={() => made.body !== null && preview.mutate(made.body)}>
            {t("run.preview")}
          </button>
          {made.body !== null && sayable(made.body) && <Copy text={submitLine(made.body)} label={t("live.copy_cli")} />}
          {!allowed && <span className="muted small">{t("kit.needs", { permission })}</span>}
        </div>
        {preview.error !== null && <Trouble error={preview.error} />}
        {preview.data !== undefined && (
          <p className="note" role="status">
            {t("run.would_hit", { count: preview.data.nodes.length, online: preview.data.online, offline: preview.data.offline.length })}{" "}
            <span className="mono small break">{preview.data.nodes.slice(0, 40).join(", ")}{preview.data.nodes.length > 40 ? " …" : ""}</span>
          </p>
        )}
      </form>
      {asking && (
        <Confirm title={t("run.sure", { count: hits })} action={t("run.go", { count: hits })} count={hits} danger={false} busy={submit.isPending} onYes={go} onClose={() => setAsking(false)}>
          <p className="mono break">{typed.command || typed.mode}</p>
          <Hits target={target} resolved={resolved.data} error={null} />
        </Confirm>
      )}
      {address.job !== "" && <JobLive key={address.job} id={address.job} />}
    </>
  );
}

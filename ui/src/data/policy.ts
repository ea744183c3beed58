// The command policy: its rules under one revision, and what it would say of a command.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { components } from "../api/schema";
import { call } from "../api/client";

type Schemas = components["schemas"];
export type PolicyView = Schemas["PolicyView"];
export type PolicyRule = Schemas["policies_RuleBody"];
export type PutRule = Schemas["PutRule"];
export type TrialView = Schemas["TrialView"];

export const EFFECTS = ["deny", "allow", "approval"] as const;
export type Effect = (typeof EFFECTS)[number];

/** One step from one revision to the next. */
export type PolicyChange =
  | { do: "put"; rule: string; body: PutRule }
  | { do: "remove"; rule: string }
  | { do: "move"; rule: string; position: number }
  | { do: "mode"; mode: "deny-list" | "allow-list" }
  | { do: "ship" };

export function usePolicy() {
  return useQuery({ queryKey: ["policy"], queryFn: () => call<PolicyView>("GET", "/policy"), retry: false });
}

/** `revision` is what the change was thought for: the server refuses it at any other. */
export function useChangePolicy() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ change, revision }: { change: PolicyChange; revision: number }) => {
      const headers = { "If-Match": String(revision) };
      switch (change.do) {
        case "put":
          return call<PolicyView>("PUT", at(change.rule), { headers, body: change.body });
        case "remove":
          return call<PolicyView>("DELETE", at(change.rule), { headers });
        case "move":
          return call<PolicyView>("POST", `${at(change.rule)}/move`, { headers, body: { position: change.position } });
        case "mode":
          return call<PolicyView>("PUT", "/policy/mode", { headers, body: { mode: change.mode } });
        case "ship":
          return call<PolicyView>("PUT", "/policy", { headers, body: { shipped: true } });
      }
    },
    onSuccess: (policy) => client.setQueryData(["policy"], policy),
  });
}

const at = (rule: string) => `/policy/rules/${encodeURIComponent(rule)}`;

export function usePolicyTest() {
  return useMutation({
    mutationFn: (body: { shell: string; target: string }) =>
      call<TrialView>("POST", "/policy/test", { body: { shell: body.shell, ...(body.target ? { target: body.target } : {}) } }),
  });
}

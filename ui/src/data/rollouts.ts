// Rollouts: the history, one followed live, making and steering them.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import type { components } from "../api/schema";
import { call, page, query } from "../api/client";
import { listen } from "../api/sse";
import type { JobView, RolloutJson } from "../api/types";

export type CreateBody = components["schemas"]["CreateBody"];
export type Verb = "advance" | "pause" | "resume" | "abort" | "rollback";

export function useRollouts(wanted: boolean) {
  return useQuery({
    queryKey: ["rollouts", "few"],
    queryFn: () => call<RolloutJson[]>("GET", "/rollouts?limit=20"),
    enabled: wanted,
    refetchInterval: 5_000,
  });
}

export function useRolloutPages(states: string) {
  return useInfiniteQuery({
    queryKey: ["rollouts", "pages", states],
    queryFn: ({ pageParam }) => page<RolloutJson[]>("GET", `/rollouts${query({ states, limit: 50, cursor: pageParam })}`),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    refetchInterval: 5_000,
  });
}

/** The rollout, then every change of it until it is over. */
export function useRollout(id: string) {
  const client = useQueryClient();
  const [live, setLive] = useState(false);
  const [turn, setTurn] = useState(0);
  const asked = useQuery({
    queryKey: ["rollout", id],
    queryFn: () => call<RolloutJson>("GET", `/rollouts/${encodeURIComponent(id)}`),
    retry: false,
  });
  useEffect(
    () =>
      listen(`/rollouts/${encodeURIComponent(id)}/events`, {
        endsWith: ["end"],
        onState: (state) => setLive(state === "open"),
        onEvent: ({ data }) => client.setQueryData(["rollout", id], JSON.parse(data)),
      }),
    [client, id, turn],
  );
  return { asked, live, again: () => setTurn((before) => before + 1) };
}

export function useSteer(id: string, after: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (verb: Verb) => call<RolloutJson>("POST", `/rollouts/${encodeURIComponent(id)}/${verb}`),
    onSuccess: (rollout) => {
      client.setQueryData(["rollout", id], rollout);
      void client.invalidateQueries({ queryKey: ["rollouts"] });
      after();
    },
  });
}

export function useRolloutWhy(id: string, version: number) {
  return useQuery({
    queryKey: ["rollout", id, "why", version],
    queryFn: async () => (await call<{ lines: string[] }>("GET", `/rollouts/${encodeURIComponent(id)}/why`)).lines,
    placeholderData: (before) => before,
    retry: false,
  });
}

/** The states of a stage's tasks, one a node. */
export function useStageTasks(job: string | null, over: boolean) {
  return useQuery({
    queryKey: ["rollouts", "tasks", job],
    queryFn: async () => {
      const found = await call<JobView>("GET", `/jobs/${job ?? ""}?limit=1000`);
      return new Map((found.tasks ?? []).map((task) => [task.node, task.state]));
    },
    enabled: job !== null,
    refetchInterval: over ? false : 1_500,
    retry: false,
  });
}

export function useCreateRollout() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: CreateBody) => call<RolloutJson>("POST", "/rollouts", { body }),
    onSuccess: (_, body) => {
      if (!body.dry_run) void client.invalidateQueries({ queryKey: ["rollouts"] });
    },
  });
}

// Nodes: the list, one node, whom a selector picks, changes.
import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { call, page, query } from "../api/client";
import { listen } from "../api/sse";
import type { NodeView, Resolved, SampleView, StretchView, TokenView } from "../api/types";

const MOST = 1000;

/** One request: these nodes by name, and what they get. */
export interface Step {
  ids: string[];
  labels?: Record<string, string | null>;
  add_groups?: string[];
  remove_groups?: string[];
}

/** All nodes a selector picks, a thousand a request. */
export function useNodes(selector: string, presence = "") {
  return useQuery({
    queryKey: ["nodes", selector, presence],
    queryFn: async ({ signal }) => {
      const nodes: NodeView[] = [];
      let cursor: string | null = null;
      do {
        const asked = query({ selector, presence, limit: MOST, cursor });
        const found: { data: NodeView[]; next: string | null } = await page<NodeView[]>("GET", `/nodes${asked}`, { signal });
        nodes.push(...found.data);
        cursor = found.next;
      } while (cursor !== null);
      return nodes;
    },
    placeholderData: keepPreviousData,
    retry: false,
  });
}

/** Some of the nodes, to offer terms for a selector from. */
export function useSomeNodes(wanted: boolean) {
  return useQuery({
    queryKey: ["some-nodes"],
    queryFn: () => call<NodeView[]>("GET", `/nodes${query({ limit: 500 })}`),
    enabled: wanted,
    staleTime: 60_000,
    retry: false,
  });
}

/** Keeps the lists of nodes fresh from the live stream; a busy fleet is drawn twice a second at most. */
export function useLiveNodes(): boolean {
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const changed = new Map<string, NodeView | null>();
    let timer: ReturnType<typeof setTimeout> | null = null;
    const flush = () => {
      timer = null;
      const batch = new Map(changed);
      changed.clear();
      let unknown = false;
      for (const [key, nodes] of client.getQueriesData<NodeView[]>({ queryKey: ["nodes"] })) {
        if (nodes === undefined) continue;
        const known = new Set(nodes.map((node) => node.id));
        for (const id of batch.keys()) if (!known.has(id)) unknown = true;
        client.setQueryData(
          key,
          nodes.flatMap((node) => {
            const next = batch.get(node.id);
            return next === null ? [] : [next ?? node];
          }),
        );
      }
      for (const [id, node] of batch) if (node !== null) client.setQueryData(["node", id], node);
      if (unknown) void client.invalidateQueries({ queryKey: ["nodes"] });
    };
    const close = listen("/nodes/events", {
      onState: (state) => {
        setOpen(state === "open");
        if (state === "open") void client.invalidateQueries({ queryKey: ["nodes"] });
      },
      onEvent: ({ event, data }) => {
        const body = JSON.parse(data) as NodeView;
        changed.set(body.id, event === "removed" ? null : body);
        timer ??= setTimeout(flush, 500);
      },
    });
    return () => {
      close();
      if (timer !== null) clearTimeout(timer);
    };
  }, [client]);
  return open;
}

export function useNode(id: string) {
  return useQuery({
    queryKey: ["node", id],
    queryFn: () => call<NodeView>("GET", `/nodes/${encodeURIComponent(id)}`),
    retry: false,
    refetchInterval: 15_000,
  });
}

export function useSamples(id: string) {
  return useQuery({
    queryKey: ["samples", id],
    queryFn: async () =>
      (await call<{ samples: SampleView[] }>("GET", `/nodes/${encodeURIComponent(id)}/metrics`)).samples,
    refetchInterval: 10_000,
    retry: false,
  });
}

/** When the node was there, newest first: the newest two hundred changes. */
export function usePresence(id: string) {
  return useQuery({
    queryKey: ["presence", id],
    queryFn: () => call<StretchView[]>("GET", `/nodes/${encodeURIComponent(id)}/presence`),
    refetchInterval: 15_000,
    retry: false,
  });
}

export function useResolve(selector: string) {
  return useQuery({
    queryKey: ["resolve", selector],
    queryFn: ({ signal }) => call<Resolved>("POST", "/nodes/resolve", { body: { selector }, signal }),
    enabled: selector.trim() !== "",
    placeholderData: keepPreviousData,
    retry: false,
    staleTime: 5_000,
  });
}

export function useSetLabels(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ labels, version }: { labels: Record<string, string | null>; version: number }) =>
      call<NodeView>("PATCH", `/nodes/${encodeURIComponent(id)}`, {
        body: { labels },
        headers: { "If-Match": String(version) },
      }),
    onSuccess: (node) => {
      client.setQueryData(["node", id], node);
      void client.invalidateQueries({ queryKey: ["nodes"] });
    },
  });
}

export interface Changed {
  done: string[];
  /** Why, and for which nodes; null: the server no longer knows them. */
  left: { ids: string[]; error: unknown }[];
}

/** Many nodes, a request a step, one after another. What a step cannot do leaves its nodes as they were, and the others go on. */
export function useChangeNodes() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: async (steps: readonly Step[]) => {
      const changed: Changed = { done: [], left: [] };
      for (const { ids, ...what } of steps) {
        try {
          const nodes = await call<NodeView[]>("PATCH", "/nodes", { body: { selector: ids.join(","), ...what } });
          const done = new Set(nodes.map((node) => node.id));
          changed.done.push(...done);
          const gone = ids.filter((id) => !done.has(id));
          if (gone.length > 0) changed.left.push({ ids: gone, error: null });
        } catch (error) {
          changed.left.push({ ids, error });
        }
      }
      return changed;
    },
    onSettled: () => client.invalidateQueries({ queryKey: ["nodes"] }),
  });
}

export function useRemoveNode(id: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (force: boolean) => call<null>("DELETE", `/nodes/${encodeURIComponent(id)}${query({ force })}`),
    onSuccess: () => client.invalidateQueries({ queryKey: ["nodes"] }),
  });
}

const newJoinToken = () => call<TokenView>("POST", "/tokens", { body: { uses: 10 } });

export function useNewJoinToken() {
  return useMutation({ mutationFn: newJoinToken });
}

/** A token for the first nodes, made by itself: one for as long as the page is open, and another before it runs out. */
export function useFirstToken(wanted: boolean) {
  return useQuery({
    queryKey: ["first-token"],
    queryFn: newJoinToken,
    enabled: wanted,
    staleTime: Infinity,
    gcTime: Infinity,
    refetchInterval: 50 * 60_000,
    refetchOnWindowFocus: false,
    retry: false,
  });
}


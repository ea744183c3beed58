// Artifacts and their revisions: lists, differences, uploads that go on where they stopped, and bringing one to nodes.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import type { components } from "../api/schema";
import { call, page, query } from "../api/client";
import type { JobView, PlacementView, RevisionView, SubmitBody } from "../api/types";
import { Sha256 } from "../text/sha256";

type UploadView = components["schemas"]["UploadView"];
export type DiffView = components["schemas"]["DiffView"];

const PART_BYTES = 4 << 20;

export function useArtifacts() {
  return useInfiniteQuery({
    queryKey: ["files", "artifacts"],
    queryFn: ({ pageParam }) => page<RevisionView[]>("GET", `/artifacts${query({ limit: 100, cursor: pageParam })}`),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
  });
}

export function useRevisions(path: string) {
  return useInfiniteQuery({
    queryKey: ["files", "revisions", path],
    queryFn: ({ pageParam }) =>
      page<RevisionView[]>("GET", `/artifacts/revisions${query({ source_path: path, limit: 50, cursor: pageParam })}`),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    enabled: path !== "",
    retry: false,
  });
}

/** Where the revisions of an artifact are now, a thousand places a request. */
export function usePlacements(path: string) {
  return usePlaced(["files", "placements", path], "/artifacts/placements", { source_path: path }, true);
}

/** What files a node has. */
export function useFilesOfNode(node: string, wanted: boolean) {
  return usePlaced(["files", "of-node", node], `/nodes/${encodeURIComponent(node)}/files`, {}, wanted);
}

function usePlaced(queryKey: string[], path: string, only: Record<string, string>, enabled: boolean) {
  return useQuery({
    queryKey,
    queryFn: async ({ signal }) => {
      const found: PlacementView[] = [];
      let cursor: string | null = null;
      do {
        const one: { data: PlacementView[]; next: string | null } = await page<PlacementView[]>("GET", `${path}${query({ ...only, limit: 1000, cursor })}`, { signal });
        found.push(...one.data);
        cursor = one.next;
      } while (cursor !== null);
      return found;
    },
    enabled,
    refetchInterval: 15_000,
    retry: false,
  });
}

export function useDifference(path: string, from: number, to: number) {
  return useQuery({
    queryKey: ["files", "diff", path, from, to],
    queryFn: () => call<DiffView>("GET", `/artifacts/diff${query({ source_path: path, from, to })}`),
    enabled: from > 0 && to > 0,
    staleTime: Infinity, // revisions never change
    retry: false,
  });
}

export function contentAddress(revision: RevisionView): string {
  return `/api/v1/artifacts/content${query({ source_path: revision.source_path, revision: revision.revision })}`;
}

export function useFileJob() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: SubmitBody) => call<JobView>("POST", "/jobs", { body: { ...body, kind: "file" } }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["jobs"] }),
  });
}

export type Stage = "idle" | "reading" | "sending" | "sealing" | "done" | "failed";
export interface Progress {
  stage: Stage;
  done: number;
  size: number;
  error: unknown;
  made: RevisionView | null;
}

const IDLE: Progress = { stage: "idle", done: 0, size: 0, error: null, made: null };

/** Sends one file in parts. After a failure `send` with the same file goes on at the offset the server has. */
export function useUpload() {
  const client = useQueryClient();
  const [progress, setProgress] = useState<Progress>(IDLE);
  const begun = useRef<{ file: File; path: string; upload: UploadView } | null>(null);
  const send = async (file: File, path: string): Promise<void> => {
    const report = (part: Partial<Progress>) => setProgress((before) => ({ ...before, ...part }));
    report({ ...IDLE, stage: "reading", size: file.size });
    try {
      let going = begun.current;
      if (going === null || going.file !== file || going.path !== path) {
        const sha256 = await digest(file, (done) => report({ done }));
        const body = { source_path: path, size: file.size, sha256 };
        going = begun.current = { file, path, upload: await call<UploadView>("POST", "/artifacts/uploads", { body }) };
      } else {
        going.upload = await call<UploadView>("GET", `/artifacts/uploads/${going.upload.upload}`);
      }
      const { upload, known, offset } = going.upload;
      let at = known ? file.size : offset;
      report({ stage: "sending", done: at });
      while (at < file.size) {
        const sent = await call<{ offset: number }>("PUT", `/artifacts/uploads/${upload}${query({ offset: at })}`, {
          bytes: file.slice(at, at + PART_BYTES),
        });
        at = sent.offset;
        report({ done: at });
      }
      report({ stage: "sealing" });
      const made = await call<RevisionView>("POST", `/artifacts/uploads/${upload}/commit`);
      begun.current = null;
      report({ stage: "done", made });
      void client.invalidateQueries({ queryKey: ["files"] });
    } catch (error) {
      report({ stage: "failed", error });
    }
  };
  return { progress, send, reset: () => setProgress(IDLE) };
}

async function digest(file: File, report: (done: number) => void): Promise<string> {
  const sum = new Sha256();
  for (let at = 0; at < file.size; at += PART_BYTES) {
    sum.update(new Uint8Array(await file.slice(at, at + PART_BYTES).arrayBuffer()));
    report(Math.min(file.size, at + PART_BYTES));
  }
  return sum.hex();
}

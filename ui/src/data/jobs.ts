// Jobs: history by pages, one job, and what one may do with it. The live view of one job is data/live.ts.
import { keepPreviousData, useInfiniteQuery, useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useMemo } from "react";
import { call, page, query } from "../api/client";
import type { FoundView, JobView, NodeTaskView, PreviewView, SubmitBody, SubmittedView, WhyView } from "../api/types";

export interface JobFilter {
  states?: string;
  /** A selector: jobs with a task on a node it picks now. */
  on?: string;
  by?: string;
  /** How far back, a key of SPANS. */
  back?: string;
}

/** Seconds. */
export const SPANS: Readonly<Record<string, number>> = { "1h": 3_600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000 };

function asked(filter: JobFilter) {
  const span = SPANS[filter.back ?? ""];
  return {
    states: filter.states || undefined,
    on: filter.on || undefined,
    by: filter.by || undefined,
    since: span === undefined ? undefined : new Date(Date.now() - span * 1000).toISOString(),
  };
}

export function useJobs(filter: JobFilter) {
  return useInfiniteQuery({
    queryKey: ["jobs", "list", filter],
    queryFn: ({ pageParam, signal }) => page<JobView[]>("GET", `/jobs${query({ limit: 50, ...asked(filter), cursor: pageParam })}`, { signal }),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    placeholderData: keepPreviousData,
    refetchInterval: (asked) => (asked.state.data?.pages[0]?.data.some((job) => job.state === "open") ? 2_500 : 10_000),
  });
}

/** Two pages, the most the server gives at once: what a fleet does in a day, or the newest of it. */
export const DAY_MOST = 1000;
const DAY_PAGE = 500;

/** The newest jobs of the last day; `more`: there were others before them. */
export function useDay(wanted: boolean) {
  return useQuery({
    queryKey: ["jobs", "list", "day"],
    queryFn: async ({ signal }) => {
      const { since } = asked({ back: "1d" });
      const jobs: JobView[] = [];
      let cursor: string | null = null;
      do {
        const found: { data: JobView[]; next: string | null } = await page<JobView[]>("GET", `/jobs${query({ limit: DAY_PAGE, since, cursor })}`, { signal });
        jobs.push(...found.data);
        cursor = found.next;
      } while (cursor !== null && jobs.length < DAY_MOST);
      return { jobs, more: cursor !== null };
    },
    enabled: wanted,
    staleTime: 10_000,
    refetchInterval: 60_000,
  });
}

/** Jobs whose output holds `text`. A page is about two seconds of the server's looking; it may hold nothing and still go on. */
export function useOutputSearch(text: string, filter: JobFilter) {
  return useInfiniteQuery({
    queryKey: ["jobs", "search", text, filter],
    queryFn: ({ pageParam, signal }) => page<FoundView[]>("GET", `/output/search${query({ text, ...asked(filter), cursor: pageParam })}`, { signal }),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    enabled: text.trim() !== "",
    staleTime: 60_000,
    refetchOnWindowFocus: false,
    retry: false,
  });
}

export function useSubmit() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: SubmitBody) => call<JobView>("POST", "/jobs", { body }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["jobs", "list"] }),
  });
}

export function usePreview() {
  return useMutation({ mutationFn: (body: SubmitBody) => call<PreviewView>("POST", "/jobs/preview", { body }) });
}

export function useCancel(job: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (nodes: string[] | null) => call<JobView>("POST", `/jobs/${job}/cancel`, { body: { nodes } }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["jobs", "list"] }),
  });
}

export function useRetry(job: string) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (nodes: string[] | null) => call<JobView>("POST", `/jobs/${job}/retry`, { body: { nodes } }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["jobs", "list"] }),
  });
}

/** What a job was submitted as, whole but for what the caller may not see: with its script and input, so up to megabytes. */
const submission = (job: string) => ({
  queryKey: ["jobs", "submission", job],
  queryFn: () => call<SubmittedView>("GET", `/jobs/${encodeURIComponent(job)}/submission`),
  staleTime: Infinity,
  retry: false,
});

export function useSubmitted(job: string) {
  return useQuery({ ...submission(job), enabled: job !== "" });
}

/** The same, asked for only when it is wanted. */
export function useAskSubmitted(job: string): () => Promise<SubmittedView> {
  const client = useQueryClient();
  return () => client.fetchQuery(submission(job));
}

/** What ran on a node, the newest first. */
export function useNodeTasks(node: string, wanted: boolean) {
  return useInfiniteQuery({
    queryKey: ["jobs", "of-node", node],
    queryFn: ({ pageParam, signal }) => page<NodeTaskView[]>("GET", `/nodes/${encodeURIComponent(node)}/tasks${query({ limit: 20, cursor: pageParam })}`, { signal }),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    enabled: wanted,
    refetchInterval: (asked) => (asked.state.data?.pages[0]?.data.some(({ task }) => task.finished_at === null) ? 2_500 : 10_000),
  });
}

/** `stage`: what it is asked again for. */
export function useWhy(job: string, node: string | null, stage: string) {
  return useQuery({ queryKey: ["jobs", "why", job, node, stage], queryFn: () => call<WhyView>("GET", `/jobs/${job}/why${query({ node })}`), staleTime: 2_000 });
}

/** The state of each node's newest task, out of the last `count` jobs, a page of tasks each. */
export function useLastStates(wanted: boolean, count = 8): ReadonlyMap<string, string> {
  const list = useQuery({
    queryKey: ["jobs", "recent", count],
    queryFn: () => page<JobView[]>("GET", `/jobs${query({ limit: count })}`),
    enabled: wanted,
    refetchInterval: 10_000,
  });
  const jobs = useQueries({
    queries: (wanted ? (list.data?.data ?? []) : []).map((job) => ({
      queryKey: ["jobs", "tasks", job.job, job.resource_version],
      queryFn: () => call<JobView>("GET", `/jobs/${job.job}?limit=1000`),
      staleTime: job.state === "open" ? 3_000 : Infinity,
    })),
    combine: (all) => all.map((one) => one.data).filter((one) => one !== undefined),
  });
  return useMemo(() => {
    const found = new Map<string, string>();
    for (const job of jobs) for (const task of job.tasks ?? []) if (!found.has(task.node)) found.set(task.node, task.state);
    return found;
  }, [jobs]);
}

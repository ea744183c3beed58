// What waits for a second person, and the rules that say what has to.
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import type { components } from "../api/schema";
import { call, page, Problem, query } from "../api/client";
import { useWrite } from "./write";

export type ApprovalView = components["schemas"]["ApprovalView"];
export type ApprovalRule = components["schemas"]["RuleView"];
export type ApprovalRuleBody = components["schemas"]["approvals_RuleBody"];

export function useApprovals(states: string) {
  return useInfiniteQuery({
    queryKey: ["approvals", states],
    queryFn: ({ pageParam }) => page<ApprovalView[]>("GET", `/approvals${query({ states, limit: 50, cursor: pageParam })}`),
    initialPageParam: "",
    getNextPageParam: (last) => last.next,
    refetchInterval: 5_000,
    retry: false,
  });
}

export function useDecide() {
  return useWrite([["approvals"]], ({ approval, approve, note }: { approval: string; approve: boolean; note: string }) =>
    call<ApprovalView>("POST", `/approvals/${encodeURIComponent(approval)}/decision`, { body: { approve, note } }),
  );
}

const readRules = () => call<ApprovalRule[]>("GET", "/approval-rules");

export function useApprovalRules() {
  return useQuery({ queryKey: ["approval-rules"], queryFn: readRules, retry: false });
}

/** `seen` is when the rule had been changed last as it was read (null: it did not exist). These rules have no version to send along, so
 * it is looked at once more right before: that does not close the gap, it makes it small. */
export function useSetApprovalRule() {
  return useWrite([["approval-rules"]], async ({ name, body, seen }: { name: string; body: ApprovalRuleBody; seen: string | null }) => {
    const now = (await readRules()).find((rule) => rule.name === name);
    if ((now?.changed_at ?? null) !== seen) throw new Problem(409, { message: `approval rule ${name} changed`, element: "changed_at" });
    return call<ApprovalRule>("PUT", `/approval-rules/${encodeURIComponent(name)}`, { body });
  });
}

export function useDeleteApprovalRule() {
  return useWrite([["approval-rules"]], (name: string) => call<unknown>("DELETE", `/approval-rules/${encodeURIComponent(name)}`));
}

/** The pending approval of one job, looked for among all that wait. */
export function useApprovalOf(job: string, wanted: boolean) {
  return useQuery({
    queryKey: ["approvals", "of", job],
    queryFn: async ({ signal }) => {
      let cursor: string | null = null;
      do {
        const asked = query({ states: "pending", limit: 200, cursor });
        const one: { data: ApprovalView[]; next: string | null } = await page<ApprovalView[]>("GET", `/approvals${asked}`, { signal });
        const found = one.data.find((approval) => approval.job === job);
        if (found !== undefined) return found;
        cursor = one.next;
      } while (cursor !== null);
      return null;
    },
    enabled: wanted,
    retry: false,
  });
}

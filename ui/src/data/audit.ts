// Who did what lately, for the overview.
import { useQuery } from "@tanstack/react-query";
import { call } from "../api/client";
import type { AuditView } from "../api/types";

export function useRecentAudit(wanted: boolean) {
  return useQuery({ queryKey: ["audit", "recent"], queryFn: () => call<AuditView[]>("GET", "/audit?limit=100"), enabled: wanted, refetchInterval: 20_000 });
}

// The kinds of task and the schemas their forms are made from.
import { useQuery } from "@tanstack/react-query";
import { call } from "../api/client";
import type { KindView } from "../api/types";

export function useKinds() {
  return useQuery({ queryKey: ["kinds"], queryFn: () => call<KindView[]>("GET", "/kinds"), staleTime: Infinity, retry: false });
}

// Rollouts, as the overview shows them; their own page adds the rest.
import { useQuery } from "@tanstack/react-query";
import { call } from "../api/client";
import type { RolloutJson } from "../api/types";

export function useRollouts(wanted: boolean) {
  return useQuery({ queryKey: ["rollouts", "list"], queryFn: () => call<RolloutJson[]>("GET", "/rollouts?limit=20"), enabled: wanted, refetchInterval: 5_000 });
}

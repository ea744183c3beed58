// A write after which some lists are read anew, and what a refusal of such a write says.
import { useMutation, useQueryClient, type QueryKey } from "@tanstack/react-query";
import { Problem } from "../api/client";

export function useWrite<In, Out>(keys: QueryKey[], send: (given: In) => Promise<Out>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: send,
    onSuccess: () => {
      for (const queryKey of keys) void client.invalidateQueries({ queryKey });
    },
  });
}

/** What the server names when If-Match did not hold: it was changed by somebody else after it was read here. */
const VERSIONS = ["revision", "resource_version", "changed_at"];

export function changedMeanwhile(error: unknown): boolean {
  return error instanceof Problem && error.status === 409 && VERSIONS.includes(error.element);
}

/** What the server says of one field, for the place below it: `tls` takes what is said of `tls.key` too. */
export function saidOf(error: unknown, field: string): string {
  if (!(error instanceof Problem) || error.status !== 400) return "";
  if (error.element !== field && !error.element.startsWith(`${field}.`)) return "";
  return [error.message, error.hint].filter(Boolean).join(" – ");
}

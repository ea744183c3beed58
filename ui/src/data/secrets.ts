// Secrets, whose values go in and never come out.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import type { components } from "../api/schema";
import { call } from "../api/client";

export type SecretView = components["schemas"]["SecretView"];

export function useSecrets(wanted = true) {
  return useQuery({ queryKey: ["secrets"], queryFn: () => call<SecretView[]>("GET", "/secrets"), enabled: wanted, retry: false });
}

export interface NewSecret {
  name: string;
  value: string;
  selector: string;
  description: string;
}

export function useSetSecret() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: ({ name, value, selector, description }: NewSecret) =>
      call<SecretView>("PUT", `/secrets/${encodeURIComponent(name)}`, {
        body: { value, ...(selector ? { selector } : {}), ...(description ? { description } : {}) },
      }),
    onSuccess: () => client.invalidateQueries({ queryKey: ["secrets"] }),
  });
}

export function useDeleteSecret() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => call<unknown>("DELETE", `/secrets/${encodeURIComponent(name)}`),
    onSuccess: () => client.invalidateQueries({ queryKey: ["secrets"] }),
  });
}

// Who is logged in, logging in and out.
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { call, keepCsrf } from "../api/client";
import type { WhoView } from "../api/types";

export function useMe() {
  return useQuery({
    queryKey: ["me"],
    queryFn: async () => {
      const me = await call<WhoView>("GET", "/whoami");
      keepCsrf(me.csrf);
      return me;
    },
    retry: false,
    staleTime: 60_000,
  });
}

export type Credentials = { token: string } | { name: string; password: string } | { invite: string; password: string };

export interface Ways {
  password: boolean;
  /** Where the browser goes for the identity provider. */
  oidc: string | null;
}

export function useWays() {
  return useQuery({ queryKey: ["ways"], queryFn: () => call<Ways>("GET", "/login"), retry: false, staleTime: Infinity });
}

export function useOwnPassword() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (body: { old: string; new: string }) => call<unknown>("POST", "/me/password", { body }),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ["sessions"] });
      return client.invalidateQueries({ queryKey: ["me"] });
    },
  });
}

export function useLogin() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (given: Credentials) => call<{ csrf: string }>("POST", "/login", { body: given }),
    onSuccess: (session) => {
      keepCsrf(session.csrf);
      void client.invalidateQueries();
    },
  });
}

export function useLogout() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => call<null>("POST", "/logout"),
    onSettled: () => {
      client.clear();
      window.location.assign("/");
    },
  });
}

/** Whether the caller holds a permission: `*`, the word itself, or `room.*`. The server decides; this only greys out. */
export function may(me: WhoView | undefined, word: string): boolean {
  if (me === undefined) return false;
  const room = word.split(".")[0] + ".*";
  return me.permissions.some((held) => held === "*" || held === word || held === room);
}

export function useMay(word: string): boolean {
  return may(useMe().data, word);
}

// Who is logged in where: one's own sessions, and for who manages people everybody's.
import { useQuery } from "@tanstack/react-query";
import type { components } from "../api/schema";
import { call } from "../api/client";
import { useWrite } from "./write";

export type LoginSession = components["schemas"]["OneSessionView"];

const place = (all: boolean) => (all ? "/sessions" : "/me/sessions");

export function useSessions(all: boolean) {
  return useQuery({ queryKey: ["sessions", all], queryFn: () => call<LoginSession[]>("GET", place(all)), retry: false, refetchInterval: 30_000 });
}

/** One's own needs no permission. After the one at hand was ended the next call is refused, and the login stands above the page. */
export function useEndSession() {
  return useWrite([["sessions"]], ({ id, own }: { id: string; own: boolean }) => call<unknown>("DELETE", `${place(!own)}/${encodeURIComponent(id)}`));
}

// Filters live in the address: a link shows to a colleague what one sees oneself.
import { useCallback, useEffect, useMemo, useState } from "react";
import { useSearchParams } from "react-router";

/** The named values of the query with their defaults, and a way to change some of them. */
export function useAddress<T extends Record<string, string>>(defaults: T): [T, (next: Partial<T>) => void] {
  const [search, setSearch] = useSearchParams();
  // What was set and is not in the router's address yet: that comes a moment later, and a field has to show each stroke at once.
  const [ahead, setAhead] = useState<Partial<T>>({});
  useEffect(() => {
    if (search.toString() === new URLSearchParams(window.location.search).toString()) setAhead({});
  }, [search]);
  const key = JSON.stringify(defaults);
  const values = useMemo(() => {
    const found = JSON.parse(key) as Record<string, string>;
    for (const name of Object.keys(found)) found[name] = search.get(name) ?? found[name] ?? "";
    return { ...found, ...ahead } as T;
  }, [search, key, ahead]);
  const set = useCallback(
    (next: Partial<T>) => {
      const first = JSON.parse(key) as Record<string, string>;
      const said = Object.fromEntries(Object.entries(next).map(([name, value]) => [name, value ?? first[name]]));
      setAhead((before) => ({ ...before, ...said }));
      setSearch(
        () => {
          // Not what the router hands in: two changes close together would each begin from the same older address.
          const after = new URLSearchParams(window.location.search);
          for (const [name, value] of Object.entries(next)) {
            if (value === undefined || value === first[name]) after.delete(name);
            else after.set(name, value);
          }
          return after;
        },
        { replace: true },
      );
    },
    [setSearch, key],
  );
  return [values, set];
}

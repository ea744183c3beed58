import { expect, it } from "vitest";
import { csv } from "./csv";

it("writes a line a row, ended as the standard says", () => {
  expect(csv([["node", "load"], ["web-1", "0.5"]])).toBe("node,load\r\nweb-1,0.5\r\n");
  expect(csv([])).toBe("");
});

it("quotes what would break a cell apart", () => {
  expect(csv([["a,b", 'say "x"', "two\nlines", " blank", ""]])).toBe('"a,b","say ""x""","two\nlines"," blank",\r\n');
});

it("leaves no cell that a spreadsheet would run", () => {
  for (const sign of ["=", "+", "-", "@", "\t", "\r"]) {
    const written = csv([[`${sign}1+1`]]);
    expect(written.replace(/^"/, "").startsWith("'")).toBe(true);
  }
  expect(csv([['=HYPERLINK("http://x","y")']])).toBe('"\'=HYPERLINK(""http://x"",""y"")"\r\n');
  expect(csv([["a=b", "x-1", "1-2"]])).toBe("a=b,x-1,1-2\r\n");
});

// Prints what Google's CSP evaluator finds in each content security policy on a line of standard input.
// Weaknesses that depend on the site's content are left out.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const require = createRequire(process.cwd() + "/");
const { CspEvaluator } = require("csp_evaluator/dist/evaluator.js");
const { CspParser } = require("csp_evaluator/dist/parser.js");
const { Severity } = require("csp_evaluator/dist/finding.js");

for await (const policy of createInterface({ input: process.stdin })) {
  for (const finding of new CspEvaluator(new CspParser(policy).csp).evaluate()) {
    if (finding.severity <= Severity.HIGH_MAYBE) {
      console.log(`${finding.directive}: ${finding.description} (${policy})`);
    }
  }
}

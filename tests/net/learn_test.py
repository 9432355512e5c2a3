# SPDX-License-Identifier: Apache-2.0
"""What real clients did in a session that audits is learned; under what was learned they work again, and others do not."""
import json
import os
import subprocess

from scenario import HERE, NOBODY, Scenario, main

CURL = ["curl", "-sS", "--max-time", "90"]
AUDIT = """return { name = "audit", dns_default = "allow", network_rules = { { domains = { "**" }, decision = "audit" } } }
"""


class Learn:
    def test_what_was_done_can_be_done_again(self):
        seen = ["curl -sS --max-time 90 https://allowed.example/", "dig +short +tries=1 +time=60 cdn-good.example"]
        policy = self.lab.write(f"policies/audit-{type(self).__name__}.lua", AUDIT)
        r = self.fence("; ".join(seen), policy=policy)
        self.assertIn("server=web", r.out, r)
        for form, name in (("lua", "lua"), ("agentsh", "yaml")):
            env = dict(os.environ, MOONFENCE_DATA=os.path.realpath(os.path.join(HERE, "../../lua")))
            text = subprocess.run([self.program, "policy", "learn", "--format", form, "-"], capture_output=True, check=True,
                                  input="".join(json.dumps(event) + "\n" for event in r.events), text=True, env=env).stdout
            self.assertIn("curl", text)  # what ran
            learned = self.lab.write(f"policies/learned-{type(self).__name__}.{name}", text)
            again = self.fence("; ".join(seen), policy=learned)
            self.assertEqual((again.status, again.out), (0, r.out), (again, text))
            for beside in ("http://allowed.example/", "https://cdn-good.example/", "https://denied.example/"):
                out = self.fence([*CURL, beside], policy=learned)
                self.assertNotIn("server=", out.out, (out, text))


class AsRoot(Learn, Scenario):
    pass


class AsUser(Learn, Scenario):
    user = NOBODY


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: Apache-2.0
"""moonfence policy bench: figures that make sense, whatever the machine."""
import support
from support import Case, DEFAULT_POLICY

KEYS = {"cached_per_second", "cached_p50_ns", "cached_p99_ns", "lua_per_second", "lua_p50_ns", "lua_p99_ns", "nodes",
        "uncacheable", "questions", "source"}


class Bench(Case):
    def bench(self, path):
        figures = self.call_json("policy", "bench", "--json", "--seconds", "1", path)
        self.assertEqual(set(figures), KEYS)
        self.assertGreater(figures["cached_per_second"], 0)
        self.assertGreater(figures["lua_per_second"], 0)
        self.assertLessEqual(figures["cached_p50_ns"], figures["cached_p99_ns"])
        return figures

    def test_the_default_policy_is_measured_with_its_tests_questions(self):
        figures = self.bench(DEFAULT_POLICY)
        self.assertEqual(figures["source"], "tests")
        self.assertGreater(figures["questions"], 100)
        self.assertGreater(figures["nodes"], 10)
        self.assertEqual(figures["uncacheable"], 0)
        self.assertGreater(figures["cached_per_second"], figures["lua_per_second"])

    def test_a_policy_without_tests_is_measured_with_the_built_in_mix(self):
        path = self.write("p.lua", "return { name = 'p', dns = function(q)\n"
                                   "  if counter('n'):over(5, '1m') then return deny() end\n  return allow()\nend }\n")
        figures = self.bench(path)
        self.assertEqual(figures["source"], "built-in mix")
        self.assertEqual(figures["uncacheable"], 5)  # the mix asks five dns questions

    def test_people_see_a_table(self):
        out, _ = self.call("policy", "bench", "--seconds", "1", DEFAULT_POLICY)
        for text in ("per second", "p50", "p99", "cached", "through Lua", "nodes in the decision graph"):
            self.assertIn(text, out)

    def test_wrong_seconds_are_wrong_usage_and_a_broken_policy_is_its_fault(self):
        for seconds in ("0", "61", "x", ""):
            self.call("policy", "bench", "--seconds", seconds, DEFAULT_POLICY, status=2)
        path = self.write("broken.lua", "return {\n")
        self.assertIn("broken.lua:", self.call("policy", "bench", path, status=1)[1])


if __name__ == "__main__":
    support.main()

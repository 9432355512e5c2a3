-- A counter in a table, written by rawset.
-- load: ok
-- call: policy
local t = { n = 0 }
return function() rawset(t, "n", t.n + 1) return t.n end

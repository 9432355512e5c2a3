-- A log in a table, written by table.insert.
-- load: ok
-- call: policy
local t = {}
return function() table.insert(t, 1) return #t end

-- The same chain, made while loading.
-- load: ok|steps|time
-- call: steps|time
local t = {}
for _ = 1, 700 do t = setmetatable({}, { __index = t }) end
return function() while true do local _ = t.a, t.b, t.c, t.d, t.e, t.f, t.g, t.h, t.i, t.j, t.k, t.l, t.m, t.n, t.o end end

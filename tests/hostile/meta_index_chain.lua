-- An __index chain of the greatest length, walked by single instructions.
-- load: ok
-- call: steps|time
return function()
  local t = {}
  for _ = 1, 1990 do t = setmetatable({}, { __index = t }) end
  while true do local _ = t.a, t.b, t.c, t.d, t.e, t.f, t.g, t.h, t.i, t.j, t.k, t.l, t.m, t.n, t.o, t.p end
end

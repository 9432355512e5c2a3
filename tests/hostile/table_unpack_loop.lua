-- Varargs as long as allowed, passed on and on.
-- load: ok
-- call: steps|time|memory|policy
return function()
  local function grow(...) return grow(1, 2, 3, 4, 5, 6, 7, 8, ...) end
  return grow(table.unpack({}, 1, 4000))
end

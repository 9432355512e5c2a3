-- The order in which keys were inserted, as a bit of state.
-- load: ok
-- call: ok
-- result: abc
return function()
  local a, b, s = {}, {}, ""
  for _, k in ipairs { "a", "b", "c" } do a[k] = true end
  for _, k in ipairs { "c", "b", "a" } do b[k] = true end
  local one, two = "", ""
  for k in pairs(a) do one = one .. k end
  for k in pairs(b) do two = two .. k end
  return one == two and one or "order leaked"
end

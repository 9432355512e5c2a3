-- A tower of pcalls around the loop.
-- load: ok
-- call: steps
return function()
  local f = function() while true do end end
  for _ = 1, 45 do local g = f f = function() pcall(g) end end
  f()
  return "survived"
end

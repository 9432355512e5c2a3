-- Coroutines that resume coroutines.
-- load: ok
-- call: steps|policy
return function()
  local function nest() return coroutine.wrap(function() nest()() end)() end
  while true do pcall(nest) end
end

-- A coroutine that resumes and closes itself and its parent.
-- load: ok
-- call: ok
-- result: falsefalse
return function()
  local co
  co = coroutine.create(function() return tostring(coroutine.resume(co)) .. tostring(pcall(coroutine.close, co)) end)
  return select(2, coroutine.resume(co))
end

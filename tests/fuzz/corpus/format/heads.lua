lreturn{f=function()
 if a
  and b then
 c{d,
   e} else
 end
 for i
 in x do --c
 end --[[ x
]] end}

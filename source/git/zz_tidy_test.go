package git
import ("testing";"fmt";"time")
func TestTidyProbe(t *testing.T){ srv,names:=large(t,100000); src,at:=sourceOf(t,srv); snap:=fetchMain(t,src,at); m:=snap.Tree.(*snapshot).mirror
 for i:=0;i<5;i++ { srv.Commit("app.git","main","one",map[string]string{names[i*1000]:fmt.Sprint(time.Now())}); fetchMain(t,src,at)}
 m.turn<-struct{}{}; s:=time.Now(); err:=m.tidy(t.Context()); <-m.turn; fmt.Println("tidy",time.Since(s),err)
 s=time.Now(); n:=0; for _,f:=range names[:20000] { if _,err:=snap.Tree.(*snapshot).ReadFile(f); err!=nil {t.Fatal(err)}; n++ }; fmt.Println("read 20000", time.Since(s))
 r,_:=src.remote(place{}); _=r
 s=time.Now(); for i:=0;i<10;i++ { src.Resolve(t.Context(),at,mainRef) }; fmt.Println("resolve",time.Since(s)/10)
 }
